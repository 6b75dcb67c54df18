"""Objects to records, and questions to answers, as the Kubernetes DNS specification says."""

from dns_builders import query, shown, zone
from service_builders import endpoint, endpoints, service
from tiphys.dns import records
from tiphys.dns.message import AAAA, ANY, CNAME, NOERROR, NXDOMAIN, PTR, SOA, SRV, TXT, A, name_of, parse

WEB = "web.shop.svc.cluster.local"
NAMED = {"port": 80, "protocol": "TCP", "name": "http"}
HEADLESS = service("db", NAMED, clusterIP="None", clusterIPs=["None"])
DB = "db.shop.svc.cluster.local"


def named(address, hostname, **conditions):
    return {**endpoint(address, **conditions), "hostname": hostname}


def ask(made, name, kind=A):
    return made.answer(parse(query(name, kind)))


def lines(made, name, kind=A):
    return shown(ask(made, name, kind).answers)


def test_a_service_has_its_cluster_address():
    assert lines(zone(service()), WEB) == [f"{WEB} 1 10.92.0.10"]


def test_both_families_have_their_type():
    made = zone(service(clusterIPs=["10.92.0.10", "fd00::1"]))
    assert (len(lines(made, WEB)), len(lines(made, WEB, AAAA))) == (1, 1)


def test_a_named_port_has_a_service_record_with_its_address_as_extra():
    answer = ask(zone(service("web", NAMED)), f"_http._tcp.{WEB}", SRV)
    assert shown(answer.answers) == [f"_http._tcp.{WEB} 33 0 100 80 {WEB}"]
    assert shown(answer.additional) == [f"{WEB} 1 10.92.0.10"]


def test_the_cluster_address_leads_back_to_the_service():
    assert lines(zone(service()), "10.0.92.10.in-addr.arpa", PTR) == [f"10.0.92.10.in-addr.arpa 12 {WEB}"]


def test_a_headless_service_has_its_ready_pods():
    piece = endpoints("db", "10.42.0.5", endpoint("10.42.0.6", ready=False))
    assert lines(zone(HEADLESS, slices=[piece]), DB) == [f"{DB} 1 10.42.0.5"]


def test_pods_of_a_headless_service_have_names():
    piece = endpoints("db", named("10.42.0.5", "db-0"), "10.42.0.6", port_name="http")
    made = zone(HEADLESS, slices=[piece])
    assert lines(made, f"db-0.{DB}") == [f"db-0.{DB} 1 10.42.0.5"]
    assert lines(made, f"10-42-0-6.{DB}") == [f"10-42-0-6.{DB} 1 10.42.0.6"]
    assert lines(made, "5.0.42.10.in-addr.arpa", PTR) == [f"5.0.42.10.in-addr.arpa 12 db-0.{DB}"]


def test_service_records_of_a_headless_service_name_its_pods():
    piece = endpoints("db", named("10.42.0.5", "db-0"), named("10.42.0.6", "db-1"), port=5432, port_name="http")
    found = lines(zone(HEADLESS, slices=[piece]), f"_http._tcp.{DB}", SRV)
    assert found == [f"_http._tcp.{DB} 33 0 50 5432 db-{index}.{DB}" for index in (0, 1)]


def test_an_external_name_is_an_alias():
    made = zone(service(type="ExternalName", externalName="Example.com.", clusterIP=""))
    assert lines(made, WEB) == lines(made, WEB, CNAME) == [f"{WEB} 5 example.com"]


def test_an_alias_inside_of_the_zone_is_followed():
    alias = service("other", type="ExternalName", externalName=WEB, clusterIP="")
    found = ask(zone(service(), alias), "other.shop.svc.cluster.local").answers
    assert [record.type for record in found] == [CNAME, A]


def test_aliases_in_a_circle_come_to_an_end():
    circle = service(type="ExternalName", externalName=WEB, clusterIP="")
    assert len(ask(zone(circle), WEB).answers) <= 8


def test_a_pods_address_spells_its_name_where_the_namespace_exists():
    made = zone()
    assert lines(made, "10-42-0-9.shop.pod.cluster.local") == ["10-42-0-9.shop.pod.cluster.local 1 10.42.0.9"]
    assert ask(made, "10-42-0-9.nowhere.pod.cluster.local").code == NXDOMAIN
    assert ask(made, "10-42-0-999.shop.pod.cluster.local").code == NXDOMAIN


def test_tells_the_version_of_the_specification():
    assert ask(zone(), "dns-version.cluster.local", TXT).answers[0].data == b"\x051.1.0"


def test_no_data_is_not_no_name():
    made = zone(service())
    codes = [ask(made, name, AAAA).code for name in (WEB, "shop.svc.cluster.local", "no.shop.svc.cluster.local")]
    assert codes == [NOERROR, NOERROR, NXDOMAIN]


def test_a_refusal_carries_the_authority_for_how_long_it_holds():
    authority = ask(zone(), "no.shop.svc.cluster.local").authority
    assert [(record.type, record.name) for record in authority] == [(SOA, name_of("cluster.local"))]


def test_any_gives_all_there_is():
    assert {record.type for record in ask(zone(service()), WEB, ANY).answers} == {A, SRV}


def test_knows_which_names_are_its_own():
    made = zone(service())
    ours = [WEB, "cluster.local", "9.9.42.10.in-addr.arpa", "10.0.92.10.in-addr.arpa"]
    others = ["example.com", "1.1.1.1.in-addr.arpa", "xcluster.local"]
    assert [made.is_ours(name_of(name)) for name in ours + others] == [True] * 4 + [False] * 3


def test_what_is_removed_leaves_no_name():
    made = zone(service())
    before = made.serial
    assert made.remove(("service", "web")) and made.serial > before
    assert ask(made, WEB).code == NXDOMAIN


def test_the_same_again_is_no_change():
    made = zone(service())
    before = made.serial
    assert not made.put(("service", "web"), records.of_service(service(), [], made.domain))
    assert made.serial == before


def test_two_owners_of_one_name_do_not_disturb_each_other():
    made = zone(service())
    made.put("other", [records.address_record(name_of(WEB), "10.92.0.99")])
    made.remove(("service", "web"))
    assert lines(made, WEB) == [f"{WEB} 1 10.92.0.99"]


def test_garbage_in_a_slice_is_left_out():
    piece = {**endpoints("db", "web.example.com", "10.42.0.5"), "addressType": "FQDN"}
    assert lines(zone(HEADLESS, slices=[piece]), DB) == []
