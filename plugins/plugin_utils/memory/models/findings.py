# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be known from a config.json, in words."""

from __future__ import annotations

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.layer import LOCAL
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.read import Reading
from ansible_collections.fullrank.serving.plugins.plugin_utils.memory.models.unknown import not_understood

CONFIG = "model.config"


def findings(reading: Reading) -> list[Finding]:
    """What is missing, what was not understood, and which layers do not grow."""
    return [*_missing(reading), *_unknown(reading), *_nested(reading), *_constant(reading)]


def _missing(reading: Reading) -> list[Finding]:
    stateful = any(layer.state for layer in reading.stack)
    needed = {"num_hidden_layers": len(reading.stack), "hidden_size": reading.hidden}
    if not stateful:
        needed["num_attention_heads"] = reading.heads.heads
    missing = [name for name, value in needed.items() if not value]
    if not missing:
        return []
    message = f"config.json has no usable {', '.join(missing)}"
    remedy = "give the model's own config.json, unshortened (it lies beside the weights)"
    return [finding("fail", "config-incomplete", CONFIG, message, remedy)]


def _unknown(reading: Reading) -> list[Finding]:
    found = []
    names = not_understood(reading.fields)
    strange = reading.schedule.unknown
    if not reading.known:
        message = f"the family {reading.model_type or 'of this model'!r} is not in our tables: KV per token is a range"
        if names:
            message += f"; fields that were not understood: {', '.join(names[:12])}"
        remedy = (
            "the engine's log has the true number (GPU KV cache size); report the model's name so that it gets a row"
        )
        found.append(finding("warn", "family-unknown", CONFIG, message, remedy))
    elif names:
        message = f"fields that were not understood, and that may change the memory: {', '.join(names[:12])}"
        found.append(finding("info", "fields-not-understood", CONFIG, message))
    if strange:
        kinds = ", ".join(strange[:6])
        message = (
            f"{reading.schedule.source} has kinds of layers that are not known here: {kinds}; counted as full attention"
        )
        found.append(finding("warn", "layer-kind-unknown", f"{CONFIG}.{reading.schedule.source}", message))
    if any(kind in ("state", "both") for kind in reading.schedule.kinds) and not any(
        layer.state for layer in reading.stack
    ):
        message = "layers with a state, but no field that tells its size"
        found.append(
            finding("warn", "state-not-counted", CONFIG, message, "leave headroom: tens to hundreds of MiB per request")
        )
    return found


def _nested(reading: Reading) -> list[Finding]:
    if not reading.nested:
        return []
    message = f"a model with more than text: its language part is read from {reading.nested}"
    if reading.vision:
        message += "; whether the encoder is sharded or whole on each GPU depends on the engine: counted as sharded"
    return [finding("info", "config-nested", CONFIG, message)]


def _constant(reading: Reading) -> list[Finding]:
    found = []
    local = [layer for layer in reading.stack if layer.kind in LOCAL]
    if local:
        span = max(layer.span for layer in local)
        message = (
            f"{len(local)} of {len(reading.stack)} layers keep KV of {span} tokens only: a constant of each request"
        )
        found.append(finding("info", "sliding-window", f"{CONFIG}.sliding_window", message))
    states = sum(layer.state is not None for layer in reading.stack)
    if states:
        message = f"{states} of {len(reading.stack)} layers keep a state of fixed size for each running request"
        found.append(finding("info", "state-per-request", CONFIG, message))
    return found
