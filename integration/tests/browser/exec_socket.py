"""Opens a WebSocket as Python's kubernetes client does for exec, prints what comes
first."""

import os

from kubernetes.client import Configuration
from kubernetes.stream.ws_client import create_websocket

configuration = Configuration()
configuration.ssl_ca_cert = os.environ["CA_FILE"]
configuration.proxy = os.environ["PROXY"]
token = os.environ["TOKEN"]
socket = create_websocket(
    configuration, os.environ["URL"], {"authorization": f"Bearer {token}"}
)
print(socket.recv())
