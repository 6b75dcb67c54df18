"""Who speaks: tokens, certificates, and who acts as somebody else."""

from __future__ import annotations

import base64

import pytest

from apiserver.security_builders import BOB, World, call
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.apiserver.authn import groups, issuer, static
from tiphys.apiserver.authn.accounts import EXTENDED_SECONDS, WARN_AFTER_SECONDS, AccountTokens, Bound
from tiphys.apiserver.authn.authenticator import Authenticator
from tiphys.apiserver.authn.bearers import bearer, without_token
from tiphys.apiserver.authn.impersonation import Impersonator, wanted_of
from tiphys.pki import authority
from tiphys.pki.tokens import TokenKeys, TokenRejected, new_key
from tiphys.wire.messages import Identity, Request

ISSUER = "https://kubernetes.default.svc"
NOW = 1_800_000_000.0


class Clock:
    seconds = NOW

    def __call__(self) -> float:
        return self.seconds


class Speakers:
    """An authenticator over a world with the account shop/robot."""

    def __init__(self, static_tokens=None):
        self.world, self.clock = World(), Clock()
        self.account = self.world.account("robot")
        self.tokens = AccountTokens(TokenKeys([new_key()]), self.world.cache, ISSUER, (ISSUER,))
        self.authenticator = Authenticator(self.tokens, static_tokens, fresh=self.world.fresh, now=self.clock)
        self.world.cache.listeners.append(lambda change: self.authenticator.follow(change.record.key))

    def token(self, *bound, audiences=(ISSUER,), seconds=3600):
        return self.tokens.issue(self.account, audiences, seconds, bound, self.clock())[0]

    async def ask(self, token):
        return await self.authenticator.authenticate(Request("GET", "/", {"authorization": f"Bearer {token}"}))


@pytest.fixture
def speakers():
    return Speakers()


async def refused(speakers, token):
    with pytest.raises(StatusError) as caught:
        await speakers.ask(token)
    return caught.value.code


async def test_an_accounts_token_names_the_account(speakers):
    identity = await speakers.ask(speakers.token())
    assert identity.name == "system:serviceaccount:shop:robot"
    assert identity.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert identity.extra[groups.CREDENTIAL_ID][0].startswith("JTI=")


async def test_a_token_that_comes_back_is_not_verified_again(speakers, monkeypatch):
    token = speakers.token()
    first = await speakers.ask(token)
    monkeypatch.setattr(speakers.tokens, "verify", None)
    assert await speakers.ask(token) is first


async def test_the_token_of_a_deleted_account_stops_at_once(speakers):
    token = speakers.token()
    await speakers.ask(token)
    speakers.world.drop("", "serviceaccounts", "shop", "robot")
    assert await refused(speakers, token) == 401


async def test_an_account_made_again_does_not_believe_old_tokens(speakers):
    token = speakers.token()
    speakers.world.drop("", "serviceaccounts", "shop", "robot")
    speakers.world.put("", "serviceaccounts", {"metadata": {"name": "robot", "namespace": "shop", "uid": "f" * 36}})
    assert await refused(speakers, token) == 401


async def test_a_token_ends_with_the_pod_it_is_bound_to(speakers):
    pod = speakers.world.pod("web")
    token = speakers.token(Bound("pod", "web", pod["metadata"]["uid"]))
    identity = await speakers.ask(token)
    assert identity.extra["authentication.kubernetes.io/pod-name"] == ("web",)
    speakers.world.drop("", "pods", "shop", "web")
    assert await refused(speakers, token) == 401


async def test_a_dropped_token_leaves_no_trace(speakers):
    pod = speakers.world.pod("web")
    await speakers.ask(speakers.token(Bound("pod", "web", pod["metadata"]["uid"])))
    speakers.world.drop("", "pods", "shop", "web")
    assert speakers.authenticator._by_key == {} and speakers.authenticator._kept == {}


async def test_a_deleted_pod_may_speak_until_its_grace_and_a_minute_are_over(speakers):
    meta = {"name": "web", "namespace": "shop", "deletionTimestamp": "2027-01-15T08:00:00Z"}
    pod = speakers.world.put("", "pods", {"metadata": meta, "spec": {}})
    token = speakers.token(Bound("pod", "web", pod["metadata"]["uid"]))
    assert (await speakers.ask(token)).name.endswith("robot")
    speakers.clock.seconds += 61
    assert await refused(speakers, token) == 401


async def test_an_expired_token_is_refused_even_if_it_was_kept(speakers):
    token = speakers.token(seconds=600)
    await speakers.ask(token)
    speakers.clock.seconds += 600 + 61
    assert await refused(speakers, token) == 401


async def test_a_token_for_somebody_else_is_refused(speakers):
    assert await refused(speakers, speakers.token(audiences=("vault",))) == 401


async def test_a_token_of_a_foreign_key_is_refused(speakers):
    foreign = AccountTokens(TokenKeys([new_key()]), speakers.world.cache, ISSUER, (ISSUER,))
    assert await refused(speakers, foreign.issue(speakers.account, (ISSUER,), 3600, (), NOW)[0]) == 401


async def test_an_unsigned_token_is_refused(speakers):
    assert await refused(speakers, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.") == 401


async def test_a_token_from_before_a_rotation_stays_good(speakers):
    old, new = speakers.tokens.keys, new_key()
    token = speakers.token()
    speakers.tokens.keys = TokenKeys([new, *old._keys.values()])
    speakers.authenticator.forget()
    assert (await speakers.ask(token)).name.endswith("robot")


def test_a_pods_own_token_outlives_clients_that_never_read_it_again(speakers):
    pod = speakers.world.pod("web")
    bound = [Bound("pod", "web", pod["metadata"]["uid"])]
    token, renew = speakers.tokens.issue(speakers.account, (ISSUER,), WARN_AFTER_SECONDS, bound, NOW)
    claims = speakers.tokens.keys.verify(token, issuers=(ISSUER,), audiences=(ISSUER,), now=NOW)
    assert claims["exp"] == NOW + EXTENDED_SECONDS and renew == NOW + WARN_AFTER_SECONDS


async def test_nobody_is_anonymous(speakers):
    assert await speakers.authenticator.authenticate(Request("GET", "/", {})) is groups.ANONYMOUS


@pytest.mark.parametrize("header", ["", "bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", "Token abc"])
def test_what_carries_no_token_is_no_credential(header):
    assert bearer(header) == ""


def test_only_the_first_word_after_bearer_is_the_token():
    assert bearer(" bearer x y ") == "x"


async def test_a_token_file_names_users_and_groups(tmp_path):
    path = tmp_path / "tokens.csv"
    path.write_text('s3cret,ann,7,"system:masters,dev"\n\nplain,ben,8\n')
    speakers = Speakers(static.load(path))
    ann = await speakers.ask("s3cret")
    assert ann == Identity("ann", ("system:masters", "dev", "system:authenticated"), "7")
    assert (await speakers.ask("plain")).groups == ("system:authenticated",)


def test_a_broken_token_file_is_named_without_its_content(tmp_path):
    path = tmp_path / "tokens.csv"
    path.write_text("s3cret\n")
    with pytest.raises(ValueError, match="line 1") as caught:
        static.load(path)
    assert "s3cret" not in str(caught.value)


async def test_a_certificate_names_its_bearer(speakers):
    pem = authority.create("ca").issue_client("ann", ["system:masters"]).certificate
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    speakers.clock.seconds = authority.subject_of(der).expires_at - 1
    identity = await speakers.authenticator.authenticate(Request("GET", "/", {}, certificate=der))
    assert (identity.name, identity.groups) == ("ann", ("system:masters", "system:authenticated"))
    speakers.clock.seconds += 2
    with pytest.raises(StatusError):
        await speakers.authenticator.authenticate(Request("GET", "/", {}, certificate=der))


def test_a_review_tells_for_which_audiences_a_token_is(speakers):
    token = speakers.token(audiences=("vault",))
    assert speakers.authenticator.review(token, ("vault", "other"))[1] == ("vault",)
    with pytest.raises(TokenRejected, match=r'audiences \["vault"\] is invalid for the target audiences \["nobody"\]'):
        speakers.authenticator.review(token, ("nobody",))


async def test_the_issuer_shows_its_public_keys(speakers):
    page = issuer.page(speakers.tokens, lambda: "https://api")
    keys = await page(call(path="/openid/v1/jwks"))
    told = await page(call(path="/.well-known/openid-configuration"))
    assert b'"kty":"EC"' in keys.body and b'"d"' not in keys.body
    assert b"https://api/openid/v1/jwks" in told.body
    assert await page(call(path="/openid/v1/jwkss")) is None


# acting as somebody else

NODES = resources.get("", "v1", "nodes")
ROBOT = Identity("robot", ("system:authenticated",))


def acting(allowed, **headers):
    """Impersonate with a decider that allows (verb, name)."""
    impersonator = Impersonator(lambda access: (allowed == "all" or (access.verb, access.name) in allowed, ""))
    request = call("GET", "/api/v1/nodes", ROBOT, "list", NODES, headers=headers)
    return impersonator.impersonate(request)


async def test_without_headers_one_is_oneself():
    assert await acting(()) is ROBOT


async def test_a_denied_impersonation_tells_the_constrained_verb():
    with pytest.raises(
        StatusError, match=r'"robot" cannot impersonate-on:user-info:list resource "nodes" in API group'
    ):
        await acting((), impersonate_user="bob")


async def test_an_account_is_impersonated_as_an_account():
    with pytest.raises(StatusError, match="cannot impersonate-on:serviceaccount:list"):
        await acting((), impersonate_user="system:serviceaccount:shop:other")


async def test_the_older_verb_is_enough():
    assert (await acting({("impersonate", "bob")}, impersonate_user="bob")).name == "bob"


async def test_both_constrained_rights_are_needed():
    on, be = ("impersonate-on:user-info:list", ""), ("impersonate:user-info", "bob")
    assert (await acting({on, be}, impersonate_user="bob")).name == "bob"
    with pytest.raises(StatusError, match='cannot impersonate:user-info resource "users"'):
        await acting({on}, impersonate_user="bob")


async def test_each_group_needs_its_own_right():
    with pytest.raises(StatusError):
        await acting({("impersonate", "bob")}, impersonate_user="bob", impersonate_group="system:masters")


async def test_an_impersonated_account_gets_its_groups():
    identity = await acting("all", impersonate_user="system:serviceaccount:shop:other")
    assert identity.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")


async def test_the_unauthenticated_do_not_become_authenticated():
    identity = await acting("all", impersonate_user="bob", impersonate_group="system:unauthenticated")
    assert identity.groups == ("system:unauthenticated",)


async def test_extra_keys_are_decoded():
    headers = {"impersonate-user": "bob", "impersonate-extra-acme.com%2fproject": "p1"}
    assert wanted_of(headers).extra == {"acme.com/project": ("p1",)}


def test_groups_without_a_user_are_refused():
    with pytest.raises(StatusError) as caught:
        wanted_of({"impersonate-group": "devs"})
    expected = 'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"devs"}, Extra:map[string][]string(nil)}'
    assert caught.value.status["message"] == f"{expected} without impersonating a user name"
    assert BOB.name == "bob"


# tokens of WebSockets


def offering(*protocols):
    return {"upgrade": "websocket", "sec-websocket-protocol": ", ".join(protocols)}


def carrier(token):
    return "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


async def test_a_websocket_can_carry_its_token_in_a_subprotocol(speakers):
    headers = offering("v4.channel.k8s.io", carrier(speakers.token()))
    identity = await speakers.authenticator.authenticate(Request("GET", "/", headers))
    assert identity.name == "system:serviceaccount:shop:robot"
    assert without_token(headers)["sec-websocket-protocol"] == "v4.channel.k8s.io"


@pytest.mark.parametrize(
    "protocols",
    [
        ("v4.channel.k8s.io", carrier("no token")),
        (carrier("alone"),),
        ("v4.channel.k8s.io", carrier("one"), carrier("two")),
        ("v4.channel.k8s.io", "base64url.bearer.authorization.k8s.io.!"),
        ("v4.channel.k8s.io", "base64url.bearer.authorization.k8s.io._w"),
    ],
)
async def test_a_subprotocol_that_carries_no_token_is_refused(speakers, protocols):
    with pytest.raises(StatusError) as caught:
        await speakers.authenticator.authenticate(Request("GET", "/", offering(*protocols)))
    assert caught.value.code == 401


async def test_without_a_websocket_subprotocols_say_nothing(speakers):
    headers = {"sec-websocket-protocol": carrier(speakers.token())}
    assert await speakers.authenticator.authenticate(Request("GET", "/", headers)) == groups.ANONYMOUS


def stored_token(speakers, **labels):
    """A Secret with a token of the account, and the token."""
    token = speakers.tokens.issue_for_secret(speakers.account, "key")
    data = {"token": base64.b64encode(token.encode()).decode()}
    speakers.world.put(
        "", "secrets", {"metadata": {"name": "key", "namespace": "shop", "labels": labels}, "data": data}
    )
    return token


async def test_a_token_in_a_secret_names_the_account_for_ever(speakers):
    token = stored_token(speakers)
    speakers.clock.seconds += 3 * EXTENDED_SECONDS
    assert (await speakers.ask(token)).name == "system:serviceaccount:shop:robot"
    assert speakers.tokens.used_secrets.get_nowait() == ("shop", "key")
    assert speakers.authenticator.review(token, ())[1] == (ISSUER,)
    with pytest.raises(TokenRejected):
        speakers.authenticator.review(token, ("https://elsewhere",))


@pytest.mark.parametrize("plural", ["secrets", "serviceaccounts"])
async def test_a_token_in_a_secret_ends_with_the_secret_and_with_the_account(speakers, plural):
    token = stored_token(speakers)
    await speakers.ask(token)
    speakers.world.drop("", plural, "shop", "key" if plural == "secrets" else "robot")
    assert await refused(speakers, token) == 401


async def test_a_token_that_the_secret_holds_no_longer_or_calls_invalid_is_refused(speakers):
    token = stored_token(speakers)
    speakers.world.put("", "secrets", {"metadata": {"name": "key", "namespace": "shop"}, "data": {"token": "b2xk"}})
    assert await refused(speakers, token) == 401
    stored_token(speakers, **{"kubernetes.io/legacy-token-invalid-since": "2027-01-01"})
    assert await refused(speakers, token) == 401


async def test_the_use_of_a_token_in_a_secret_is_told_once_a_day(speakers):
    token = stored_token(speakers)
    for hours in (1, 1, 24):
        await speakers.ask(token)
        speakers.clock.seconds += hours * 3600
    await speakers.ask(token)
    assert speakers.tokens.used_secrets.qsize() == 2
