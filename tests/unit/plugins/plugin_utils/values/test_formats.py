# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What texts must look like that name something."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.plugin_utils.values import formats

NAMES = frozenset({"gpu1", "192.0.2.11"})

GOOD = {
    "line": ["a b", "ä", "x" * 300],
    "path": ["/", "/a b", "/data/x_y-1.2"],
    "folder": ["/data", "/data/"],
    "plain-folder": ["/opt/fullrank-sglang", "/opt/a.b_c@1,2=3+"],
    "data-folder": ["/var/lib/fullrank-webui", "/srv/open webui"],
    "controller-path": ["~/x", "x", "/x y"],
    "volume": ["weights", "/data"],
    "model": ["/data/models/r1"],
    "image": [
        "vllm",
        "vllm/vllm-openai:v0.11.2",
        "reg.example:5000/a/b_c--d:1",
        f"lmsysorg/sglang@sha256:{'0' * 64}",
        f"localhost/x:1@sha256:{'a' * 64}",
    ],
    "version": ["0.11.2", "1", "0.4.3.post2", "0.32.0+cpu", "v0.11.0", "1.0rc1"],
    "three-numbers": ["0.12.4"],
    "two-numbers": ["8.9", "12.8"],
    "beginning": ["580", "580.95.05", "5:28.5.2-1~debian.12~bookworm", "24.10-1.1.4.0", "3.2.1"],
    "duration": ["15s", "30d", "1h30m", "500ms", "1y", "1m"],
    "model-name": ["deepseek-r1", "deepseek-ai/DeepSeek-R1", "llama3.1:70b"],
    "model-names": ["deepseek-r1", "deepseek-r1 gpt-4"],
    "key": ["sk-0123456789abcdef", "abcdefgh=="],
    "password": ["correct horse battery staple", "ä" * 36],
    "email": ["a@b"],
    "word": ["ssh", "mlx5_0:1", "fp8_e4m3"],
    "interface": ["eth0", "ens1f0np0", "bond0.100", "ib0"],
    "sha256": ["0" * 64],
    "fingerprints": ["A" * 40, f"{'a' * 40}, {'B' * 40}"],
    "address": ["192.0.2.1", "::1", "fd00::1"],
    "host": ["192.0.2.1", "fd00::1", "gpu1", "gpu-1.example.com", "gpu_1", "n1."],
    "listen": ["0.0.0.0", "::", "127.0.0.1", "localhost", "gpu1", "head.example.com"],
    "network": ["10.0.0.0/24", "fd00::/64", "10.0.0.5/32"],
    "url": ["http://a", "https://a.example:8443/x", "http://[fd00::1]:8000/v1"],
    "repository": ["file:///srv/mirror", "https://a/b"],
    "proxy": ["http://user:pw@proxy:3128"],
    "postgresql": [
        "postgresql://u:p@db/x",
        "postgresql://u:p@/x?host=/run/postgresql",
        "postgresql:///x?sslmode=disable&host=/tmp",
    ],
    "registry": ["mirror.example", "mirror.example:5000/a/b"],
    "host-port": ["a:9093", "[fd00::1]:9093"],
}
BAD = {
    "line": ["a\nb", "a\x00", "\tx"],
    "path": ["", "x", "~/x", "/a/../b", "/a:b", "/a\n", "/a "],
    "folder": ["/", "//", "x"],
    "plain-folder": ["/", "/opt/it's", "/opt/a b", "/opt/%n", "/opt/$x", "/opt/ä"],
    "data-folder": ["/", "/etc", "/var/lib", "/usr/lib/x", "x"],
    "controller-path": ["a\nb"],
    "volume": ["~/x", "a b", "../x"],
    "model": ["Qwen/Qwen3-8B", "r1", "/"],
    "image": ["", "https://x/y", "Vllm/x y", "lmsysorg/SGLang:v1", "x@sha256:123", "x:", ":x", "a/b:t/c:", "x\n"],
    "version": ["latest", "main", "0.11.x", ">=0.11", "0.11 ", "", "0.11\n"],
    "three-numbers": ["0.12", "v0.12.4", "latest"],
    "two-numbers": ["8", "sm_89", "12.8.1"],
    "beginning": ["latest", ">=28", "28 ", "-1"],
    "duration": ["15", "30 d", "s", "1d2y", "", "-15s", "1.5h"],
    "model-name": ["deep seek", "", "-r1", "r1\n", "模型", "a'b", 'a"b', "{{x}}", "a;b"],
    "model-names": ["", "deepseek-r1 -r1", "模型"],
    "key": ["short", "with space 123", "line\nbreak99", "schlüssel123", "", 'quote"1234'],
    "password": ["x" * 73, "ä" * 37, "a\nb"],
    "email": ["admin", "a b@c", "@"],
    "word": ["a b", "", "a;b", "$(x)", "`x`"],
    "interface": ["", "a/b", "averylongname123", "a b", "eth0:1", "$x"],
    "sha256": ["0" * 63, "A" * 64, "g" * 64],
    "fingerprints": ["A" * 39, "AAAA BBBB", ""],
    "address": ["gpu1", "10.0.0.300", "[::1]", "10.0.0.1/24", "fe80::1%eth0", ""],
    "host": ["[fd00::1]", "http://a", "a b", "10.0.0.300", "10.0.0.1:22", "a/b", "", "-a", "a..b", "x" * 64],
    "listen": ["eth0", "[::]", "*", "0.0.0.0:8000", "http://0.0.0.0", "not an address", "0.0.0", ""],
    "network": ["10.0.0.1/24", "10.0.0.0", "10.0.0.0/33", "x", "0.0.0.0/0", "10.0.0.0/24 "],
    "url": [
        "a.example",
        "ftp://a",
        "http://",
        "http://a:99999",
        "http://u:p@a",
        "http://a b",
        "http://[::1",
        "file:///x",
    ],
    "repository": ["file://x/y", "/srv", "https://u:p@a"],
    "proxy": ["proxy:3128", "ftp://x"],
    "postgresql": [
        "mysql://x/y",
        "postgresql://",
        "postgresql:///x",
        "postgresql:///x?host=db",
        "postgresql://%2Frun%2Fpostgresql/x",
    ],
    "registry": ["https://mirror.example/x", "mirror.example/", "a b", ""],
    "host-port": ["a", "a:0", "http://a:1", "a:99999", "fd00::1:9093", "u@a:1"],
}


@pytest.mark.parametrize("name", formats.FORMATS)
def test_each_format_has_examples_of_both_kinds(name: str) -> None:
    found = formats.FORMATS[name]
    assert found.check(found.example, NAMES) is None
    assert [one for one in GOOD[name] if found.check(one, NAMES)] == []
    assert [one for one in BAD[name] if not found.check(one, NAMES)] == []


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_what_is_wrong_is_reported_in_one_line_and_what_is_offered_is_accepted(name: str, text: str) -> None:
    found = formats.FORMATS[name]
    wrong: Any = found.check(text, NAMES)
    assert wrong.message and wrong.remedy and "\n" not in wrong.message + wrong.remedy
    assert len(wrong.message) + len(wrong.remedy) < 160
    if wrong.instead is not None:
        assert found.check(wrong.instead, NAMES) is None
        if name != "listen":
            assert str(wrong.instead) in wrong.remedy or name in ("line", "model")


def test_a_rule_tells_whether_the_text_may_be_empty() -> None:
    assert [formats.rule(one).may_be_empty for one in ("path", "path?")] == [False, True]
    with pytest.raises(ValueError, match="'pth' is no format"):
        formats.rule("pth")
