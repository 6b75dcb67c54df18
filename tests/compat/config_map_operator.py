"""An operator as people write them with kopf; each handler adds what it saw to the file that TOLD names."""

import json
import os

import kopf


def tell(*words):
    with open(os.environ["TOLD"], "a") as file:
        file.write(json.dumps(words) + "\n")


@kopf.on.startup()
def configure(settings, **_):
    settings.posting.level = 20


@kopf.on.create("configmaps", labels={"kopf": "yes"})
def created(name, patch, body, **_):
    tell("create", name)
    patch.metadata.annotations["seen"] = "yes"
    kopf.info(body, reason="Seen", message="hello")


@kopf.on.update("configmaps", field="data", labels={"kopf": "yes"})
def updated(name, old, new, **_):
    tell("update", name, old, new)


@kopf.on.delete("configmaps", labels={"kopf": "yes"})
def deleted(name, **_):
    tell("delete", name)
