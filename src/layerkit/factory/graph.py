"""Graph: the wiring as a picture, in Mermaid."""

from collections.abc import Iterable, Mapping
from typing import Final

from layerkit.factory.keys import Key
from layerkit.factory.provider import Lifetime, Provider
from layerkit.factory.wiring import Wiring

_SHAPES: Final = {
    Lifetime.VALUE: ('(["', '"])'),
    Lifetime.SINGLETON: ('["', '"]'),
    Lifetime.GIVEN: ('[/"', '"/]'),
    Lifetime.SCOPED: ('("', '")'),
    Lifetime.TRANSIENT: ('{{"', '"}}'),
}
_HANDLER_SHAPE: Final = ('[["', '"]]')
_STYLES: Final = {
    "value": "fill:#eeeeee,stroke:#616161,color:#212121",
    "singleton": "fill:#e3f2fd,stroke:#1565c0,color:#0d2b45",
    "given": "fill:#fff8e1,stroke:#b28704,color:#4a3800",
    "scoped": "fill:#e8f5e9,stroke:#2e7d32,color:#12351a",
    "transient": "fill:#f3e5f5,stroke:#6a1b9a,color:#2e0b45",
    "handler": "fill:#fbe9e7,stroke:#bf360c,color:#4a1500",
}
# Mermaid reads a label as HTML, and `#` as the start of an entity.
_ESCAPES: Final = str.maketrans(
    {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "\n": " "}
)


def draw(
    wiring: Wiring, handlers: Iterable[tuple[str, list[Provider]]], *, itself: Key
) -> str:
    """Return a flowchart: providers and handlers, with arrows to what they need.

    The factory, under the key *itself*, is shown where something needs it.
    """
    handlers = list(handlers)
    needed = {each for provider in wiring.order for each in provider.needed}
    needed.update(each for _, providers in handlers for each in providers)
    shown = (p for p in wiring.providers.values() if p.key is not itself or p in needed)
    nodes = {provider: f"p{number}" for number, provider in enumerate(shown)}
    lines, arrows = [], []
    for provider, node in nodes.items():
        kind = provider.lifetime.name.lower()
        lines.append(_node(node, provider.name, _SHAPES[provider.lifetime], kind))
        arrows += _arrows(node, provider.needed, nodes)
    for number, (name, providers) in enumerate(handlers):
        node = f"h{number}"
        lines.append(_node(node, name, _HANDLER_SHAPE, "handler"))
        arrows += _arrows(node, providers, nodes)
    styles = [f"classDef {kind} {style}" for kind, style in _STYLES.items()]
    return "\n    ".join(["flowchart TD", *lines, *arrows, *styles]) + "\n"


def _node(node: str, name: str, shape: tuple[str, str], kind: str) -> str:
    return f"{node}{shape[0]}{name.translate(_ESCAPES)}{shape[1]}:::{kind}"


def _arrows(
    node: str, needed: Iterable[Provider], nodes: Mapping[Provider, str]
) -> list[str]:
    return [f"{node} --> {nodes[each]}" for each in needed]
