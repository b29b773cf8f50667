"""Calls a Kubernetes API as programs do that are pointed at kubectl proxy: with a
host and nothing else.

    client.py HOST NAMESPACE CHECK

Ends with 0 if all of the check went as it should.
"""

import sys

from kubernetes import client, watch
from kubernetes.stream import stream

SECONDS = 30


def settings(value: str) -> client.V1ConfigMap:
    metadata = client.V1ObjectMeta(name="settings")
    return client.V1ConfigMap(metadata=metadata, data={"a": value})


def objects(api: client.CoreV1Api, namespace: str) -> None:
    api.create_namespaced_config_map(namespace, settings("created"))
    found = api.read_namespaced_config_map("settings", namespace)
    assert found.data == {"a": "created"}, found
    patch = {"data": {"b": "patched"}}
    api.patch_namespaced_config_map("settings", namespace, patch)
    found = api.read_namespaced_config_map("settings", namespace)
    found.data["a"] = "replaced"
    api.replace_namespaced_config_map("settings", namespace, found)
    items = api.list_namespaced_config_map(namespace).items
    assert [item.data for item in items] == [{"a": "replaced", "b": "patched"}], items
    api.delete_namespaced_config_map("settings", namespace)
    try:
        api.read_namespaced_config_map("settings", namespace)
    except client.ApiException as error:
        assert error.status == 404, error
    else:
        raise AssertionError("it is still there")


def follow(api: client.CoreV1Api, namespace: str) -> None:
    """Sees each change before it makes the next one."""
    changes = [
        ("ADDED", lambda: api.create_namespaced_config_map(namespace, settings("1"))),
        (
            "MODIFIED",
            lambda: api.replace_namespaced_config_map(
                "settings", namespace, settings("2")
            ),
        ),
        ("DELETED", lambda: api.delete_namespaced_config_map("settings", namespace)),
    ]
    listed = api.list_namespaced_config_map(namespace)
    changes[0][1]()
    seen = []
    events = watch.Watch().stream(
        api.list_namespaced_config_map,
        namespace,
        resource_version=listed.metadata.resource_version,
        timeout_seconds=SECONDS,
    )
    for event in events:
        seen.append(event["type"])
        if len(seen) == len(changes):
            break
        changes[len(seen)][1]()
    assert seen == [kind for kind, _ in changes], seen


def exec_refused(api: client.CoreV1Api, namespace: str) -> None:
    """The filter's answer and its reason reach the program."""
    try:
        stream(
            api.connect_get_namespaced_pod_exec,
            "any",
            namespace,
            command=["true"],
            stdout=True,
            _request_timeout=SECONDS,
        )
    except client.ApiException as error:
        assert "403" in str(error.reason), error
        assert "--reject-paths" in str(error.reason), error
    else:
        raise AssertionError("exec was not refused")


CHECKS = {"objects": objects, "watch": follow, "exec": exec_refused}


def main() -> None:
    host, namespace, check = sys.argv[1:]
    configuration = client.Configuration(host=host)
    with client.ApiClient(configuration) as api:
        CHECKS[check](client.CoreV1Api(api), namespace)


if __name__ == "__main__":
    main()
