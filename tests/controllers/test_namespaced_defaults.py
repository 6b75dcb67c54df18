"""What every namespace has: a default ServiceAccount and the cluster's root certificate."""

from tiphys.controllers.rootca.plan import plan as plan_root_ca
from tiphys.controllers.serviceaccount.plan import plan as plan_account
from tiphys.reconcile.commands import Create, Update


def namespace(**meta):
    return {"metadata": {"name": "shop", **meta}, "status": {"phase": "Active"}}


GOING = namespace(deletionTimestamp="2027-01-15T08:00:00Z")


def test_a_namespace_gets_its_default_account():
    (create,) = plan_account(namespace(), None)
    assert create.object["metadata"] == {"name": "default", "namespace": "shop"} and create.exists_ok


def test_an_account_that_is_there_means_no_commands():
    assert plan_account(namespace(), {"metadata": {"name": "default"}}) == []


def test_nothing_is_created_in_a_namespace_that_goes():
    assert plan_account(GOING, None) == []
    assert plan_root_ca(GOING, None, "pem") == []


def test_the_root_certificate_is_published_and_put_back():
    (create,) = plan_root_ca(namespace(), None, "pem")
    assert isinstance(create, Create) and create.object["data"] == {"ca.crt": "pem"}
    assert plan_root_ca(namespace(), create.object, "pem") == []
    (update,) = plan_root_ca(namespace(), {**create.object, "data": {}}, "pem")
    assert isinstance(update, Update) and update.object["data"] == {"ca.crt": "pem"}
