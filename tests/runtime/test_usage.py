"""What is read of a control group, of both versions, from files as the kernel writes them."""

import time

from tiphys.runtime import usage

V2 = {
    "cpu.stat": "usage_usec 1500\nuser_usec 1\nnr_periods 7\nnr_throttled 2\nthrottled_usec 3\n",
    "memory.current": "9000\n",
    "memory.stat": "anon 4000\nfile 3000\ninactive_file 1000\npgfault 12\npgmajfault 1\n",
    "memory.max": "max\n",
    "pids.current": "4\n",
    "memory.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=99\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
}
V1 = {
    "cpuacct.usage": "1500000\n",
    "memory.usage_in_bytes": "9000\n",
    "memory.stat": "cache 1\nrss 2\ntotal_cache 3000\ntotal_rss 4000\ntotal_pgfault 12\ntotal_inactive_file 1000\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "pids.current": "4\n",
    "cpu.stat": "nr_periods 7\nnr_throttled 2\nthrottled_time 3000\n",
}


def group(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return str(tmp_path)


def test_reads_version_2(tmp_path):
    found = usage.of_v2(group(tmp_path, V2))
    assert (found.cpu_ns, found.memory_working_set_bytes, found.memory_rss_bytes) == (1_500_000, 8000, 4000)
    assert (found.pids, found.memory_limit_bytes, found.page_faults, found.throttled_ns) == (4, 0, 12, 3000)
    assert found.pressure["memory"]["some"] == {"avg10": 1.5, "avg60": 0.0, "avg300": 0.0, "total": 99.0}


def test_reads_version_1_with_all_that_is_below(tmp_path):
    there = group(tmp_path, V1)
    found = usage.of_v1(there, there, there)
    assert (found.cpu_ns, found.memory_working_set_bytes, found.memory_rss_bytes) == (1_500_000, 8000, 4000)
    assert (found.memory_limit_bytes, found.throttled_periods, found.memory_cache_bytes) == (0, 2, 3000)


def test_a_brief_look_gives_time_and_memory_alone(tmp_path):
    found = usage.of_v2(group(tmp_path, V2), brief=True)
    assert (found.cpu_ns, found.memory_usage_bytes, found.pids, found.pressure) == (1_500_000, 9000, 0, {})
    assert abs(found.at - time.time()) < 5


def test_a_group_that_is_gone_uses_nothing(tmp_path):
    assert usage.of_v2(f"{tmp_path}/gone") is None and usage.of_v1(f"{tmp_path}/gone", "", "") is None


def test_without_a_controller_there_is_no_figure(tmp_path):
    assert usage.of_v1("", "", "").memory_usage_bytes == 0
