"""What a storage driver says that it can do on a node: the numbers of NodeServiceCapability.RPC.Type."""

from __future__ import annotations

CAN_STAGE, CAN_GET_STATS, CAN_EXPAND = 1, 2, 3
KNOWS_SINGLE_NODE_MULTI_WRITER, TAKES_GROUP = 5, 6
