# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access control of PCI bridges, from their configuration space."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.node.pci_topology import acs_redirects


def test_acs() -> None:
    def config(*capabilities: tuple[int, int, int, int]) -> bytes:
        space = bytearray(4096)
        for offset, id, following, control in capabilities:
            space[offset : offset + 4] = (id | 1 << 16 | following << 20).to_bytes(4, "little")
            space[offset + 6 : offset + 8] = control.to_bytes(2, "little")
        return bytes(space)

    assert acs_redirects(config((0x100, 0x0D, 0, 0x1D))) is True
    assert acs_redirects(config((0x100, 0x01, 0x140, 0xFF), (0x140, 0x0D, 0, 0x01))) is True
    assert acs_redirects(config((0x100, 0x0D, 0, 0x50))) is False, (
        "upstream forwarding and egress control do not redirect"
    )
    assert acs_redirects(config((0x100, 0x01, 0x100, 0xFF))) is False, "a chain that bites its tail ends"
    assert acs_redirects(bytes(64)) is False, "what one who is not root gets to read"
    assert acs_redirects(b"") is False
