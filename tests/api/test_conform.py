"""What a body's empty lists become, and how deep a body may be."""

import pytest

from tiphys.api import schema
from tiphys.api.conform import conform


@pytest.mark.parametrize(
    ("message", "raw", "made"),
    [
        ("core.v1.ObjectReference", {}, {}),
        ("core.v1.Volume", {"name": "v", "configMap": {"items": []}}, {"name": "v", "configMap": {}}),
        ("rbac.v1.PolicyRule", {"verbs": []}, {"verbs": []}),
        ("rbac.v1.PolicyRule", {}, {"verbs": None}),
        ("autoscaling.v2.HPAScalingRules", {"policies": []}, {"policies": []}),
        ("autoscaling.v2.HPAScalingRules", {}, {}),
    ],
)
def test_empty_lists_stay_where_go_shows_or_refuses_them(message, raw, made):
    assert conform(raw, schema.message(message)).object == made
