"""Lists a cluster's namespaces with Python's kubernetes package.

    python3 -m venv venv
    venv/bin/pip install -r requirements.txt
    CULVERT_URL=https://prod.clusters.example.com CULVERT_TOKEN_FILE=token \
        venv/bin/python list_namespaces.py

CULVERT_CA_FILE names certificate authorities to trust instead of the system's.
"""

import os
import sys
from pathlib import Path

from kubernetes import client


def main() -> None:
    # From a file: a process' arguments are anybody's to read.
    token = Path(os.environ["CULVERT_TOKEN_FILE"]).read_text().strip()
    configuration = client.Configuration(host=os.environ["CULVERT_URL"].rstrip("/"))
    configuration.api_key = {"authorization": token}
    configuration.api_key_prefix = {"authorization": "Bearer"}
    configuration.ssl_ca_cert = os.environ.get("CULVERT_CA_FILE")

    with client.ApiClient(configuration) as api:
        try:
            namespaces = client.CoreV1Api(api).list_namespace()
        except client.ApiException as error:
            # Only the tunnel can set this header.
            code = (error.headers or {}).get("culvert-error")
            origin = f"the tunnel ({code})" if code else "the cluster"
            sys.exit(f"{error.status} from {origin}: {error.body}")
    for namespace in namespaces.items:
        print(namespace.metadata.name)


if __name__ == "__main__":
    main()
