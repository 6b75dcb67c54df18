"""What a node without drivers and plugins pays for them."""

import subprocess
import sys

SPEAKS = ("wire.grpc", "wire.http2", "wire.hpack", "wire.protobuf", "node.csi.driver", "node.devices.plugin")


def test_nothing_that_speaks_with_drivers_is_imported_before_there_is_one():
    names = ", ".join(f"'tiphys.{name}'" for name in SPEAKS)
    program = f"import sys, tiphys.cluster.node; print([name for name in ({names},) if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
