"""Messages by topic to everybody who subscribed: gossipsub 1.0 to 1.3 and floodsub.

Spec: libp2p/specs pubsub, "Pubsub"; libp2p/specs gossipsub 1.0 to 1.3.
"""
