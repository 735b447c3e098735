"""RPCs of gossip as hypothesis may draw them."""

from hypothesis import strategies as st

from cortexnet.gossip.messages import ControlMessages, Extensions, IHave, Message, Prune, PrunePeer, Rpc, Subscription

TOPICS = st.text("abc", min_size=1, max_size=8)
IDS = st.binary(min_size=1, max_size=40)
PRUNES = st.builds(
    Prune, TOPICS, st.lists(st.builds(PrunePeer, IDS, st.binary(max_size=40)), max_size=2), st.none() | st.integers(0, 3600)
)
CONTROLS = st.builds(
    ControlMessages,
    st.lists(st.builds(IHave, TOPICS, st.lists(IDS, min_size=1, max_size=20)), max_size=5),
    st.lists(IDS, max_size=30),
    st.lists(TOPICS, max_size=20),
    st.lists(PRUNES, max_size=5),
    st.lists(IDS, max_size=30),
    st.none() | st.builds(Extensions, st.booleans(), st.booleans()),
)
MESSAGES = st.builds(lambda topic, data: Message.build(topic, data), TOPICS, st.binary(max_size=400))
RPCS = st.builds(
    Rpc,
    st.lists(st.builds(Subscription, TOPICS, st.booleans()), max_size=30),
    st.lists(MESSAGES, max_size=20),
    st.none() | CONTROLS,
    st.booleans(),
)
