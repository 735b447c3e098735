"""cortexnet: an asyncio-native, pure-Python libp2p stack.

    from cortexnet import Node

`Node` is the whole node in one `async with`; docs/ and the README show it at work.
"""
