"""Classes and functions of unusual kinds: injected, or refused with the true cause."""

import functools
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Annotated, Any, Generic, NamedTuple, ParamSpec, Self, overload

import pytest
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar, override

from layerkit.core import WiringError
from layerkit.factory import ServiceFactory


class Mail:
    pass


class Bus:
    pass


class Row:
    pass


T = TypeVar("T")
D = TypeVar("D", default=Mail)
P = ParamSpec("P")


class Store(Generic[T]):
    pass


async def made(make: Any, *others: Any, key: Any = None) -> Any:
    factory = ServiceFactory().singleton(Mail).singleton(Bus)
    for other in others:
        factory.singleton(other)
    factory.singleton(make, key=key)
    async with factory, factory.scope() as scope:
        return await scope.get(make if key is None else key)


def module(source: str, **names: object) -> types.ModuleType:
    """Return *source* as a module, with annotations that are texts."""
    written = types.ModuleType("layerkit_written")
    vars(written).update(Mail=Mail, Bus=Bus, Row=Row, Store=Store, **names)
    sys.modules[written.__name__] = written
    future = "from __future__ import annotations\n"
    exec(future + source, vars(written))  # noqa: S102 - a test's own source
    return written


# Metaclasses and constructors that pass all on


class PassingOn(type):
    @override
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class Taking(type):
    @override
    def __call__(cls, bus: Bus) -> Any:
        return super().__call__(bus, "given")


class Passed(metaclass=PassingOn):
    def __init__(self, mail: Mail) -> None:
        self.mail = mail


class Taken(metaclass=Taking):
    def __init__(self, bus: Bus, word: str) -> None:
        self.bus, self.word = bus, word


class NewPasses:
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        return super().__new__(cls)

    def __init__(self, mail: Mail) -> None:
        self.mail = mail


class InitPasses(Passed):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class NewAlone:
    mail: Mail

    def __new__(cls, mail: "Mail") -> "NewAlone":
        self = super().__new__(cls)
        self.mail = mail
        return self


def passed(function: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    return call


class Decorated:
    @passed
    def __init__(self, mail: "Mail") -> None:
        self.mail = mail


class Overloaded:
    @overload
    def __init__(self, mail: Mail) -> None: ...
    @overload
    def __init__(self, mail: Mail, word: str) -> None: ...
    def __init__(self, mail: Mail, word: str = "") -> None:
        self.mail, self.word = mail, word


class Tuple(NamedTuple):
    mail: Mail
    words: tuple[str, ...] = ()


class Annotating:
    def __init__(self, mail: Annotated["Mail", "fast"]) -> None:
        self.mail = mail


class Defaulted(Generic[D]):
    def __init__(self, mail: D, mails: D | None = None) -> None:
        self.mail, self.mails = mail, mails


class Job(Generic[P, T]):
    def __init__(self, mail: T) -> None:
        self.mail = mail


class NamedJob(Job[[int, str], Mail]):
    pass


@dataclass
class Fields:
    bus: InitVar[Bus]
    _: KW_ONLY
    mail: "Mail"
    mails: list[str] = field(default_factory=list)

    def __post_init__(self, bus: Bus) -> None:
        self.given = bus


@pytest.mark.parametrize(
    "make",
    [
        *(Passed, NewPasses, InitPasses, NewAlone, Decorated, Overloaded, Tuple),
        *(Annotating, Defaulted, NamedJob, Fields),
    ],
)
async def test_a_class_of_any_kind_gets_what_it_takes(make: Any) -> None:
    assert isinstance((await made(make)).mail, Mail)


async def test_a_default_of_a_type_variable_gives_way_to_what_is_given() -> None:
    class Given(Defaulted[Bus]):
        pass

    got = await made(Given)

    assert isinstance(got.mail, Bus)
    assert got.mails is got.mail


async def test_a_model_gets_its_fields_whatever_they_are_called() -> None:
    class Sent(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)

        mail: Mail
        data: Bus

    got = await made(Sent)

    assert (type(got.mail), type(got.data)) == (Mail, Bus)


async def test_a_metaclass_that_takes_something_gets_it() -> None:
    got = await made(Taken)

    assert (type(got.bus), got.word) == (Bus, "given")


async def test_fields_for_the_constructor_alone_are_filled() -> None:
    assert isinstance((await made(Fields)).given, Bus)


def test_what_a_class_takes_through_its_metaclass_is_missed_at_start() -> None:
    with pytest.raises(WiringError, match="Passed needs Mail"):
        ServiceFactory().singleton(Passed).check()


# Functions


class Pair:
    def __init__(self, mail: Mail, bus: Bus, word: str = "") -> None:
        self.mail, self.bus, self.word = mail, bus, word

    @classmethod
    def make(cls, mail: Mail, bus: Bus) -> Self:
        return cls(mail, bus)

    @classmethod
    def opened(cls, mail: Mail, bus: Bus) -> Iterator[Self]:
        yield cls(mail, bus)

    @classmethod
    async def served(cls, mail: Mail, bus: Bus) -> AsyncIterator["Pair"]:
        yield cls(mail, bus)


class Maker:
    def __call__(self, mail: "Mail") -> Pair:
        return Pair(mail, Bus())


@pytest.mark.parametrize("make", [Pair.make, Pair.opened, Pair.served, Maker()])
async def test_a_class_method_or_an_object_makes_its_class(make: Any) -> None:
    factory = ServiceFactory().singleton(Mail).singleton(Bus).singleton(make)

    async with factory, factory.scope() as scope:
        assert isinstance((await scope.get(Pair)).mail, Mail)


async def test_what_a_partial_holds_is_not_replaced() -> None:
    own = Mail()
    for make in (
        functools.partial(Pair, own),
        functools.partial(Pair, mail=own),
        functools.partial(functools.partial(Pair, own), word="x"),
    ):
        got = await made(make, key=Pair)

        assert got.mail is own
        assert isinstance(got.bus, Bus)


async def test_a_partial_of_a_class_gets_what_is_left() -> None:
    got = await made(functools.partial(Passed), key=Passed)

    assert isinstance(got.mail, Mail)


# Annotations that are texts


async def test_a_class_inside_of_the_class_is_found() -> None:
    written = module(
        "class Outer:\n"
        "    class Inner: pass\n"
        "    def __init__(self, inner: Inner): self.inner = inner\n"
    )

    got = await made(written.Outer, written.Outer.Inner)

    assert isinstance(got.inner, written.Outer.Inner)


async def test_generated_constructors_name_types_of_their_own_module() -> None:
    written = module(
        "from typing import NamedTuple\n"
        "from dataclasses import dataclass, InitVar\n"
        "class Kept: pass\n"
        "class Tuple(NamedTuple):\n"
        "    kept: Kept\n"
        "@dataclass\n"
        "class Base:\n"
        "    kept: Kept\n"
        "    bus: InitVar[Bus]\n"
    )

    @dataclass
    class Derived(written.Base):  # type: ignore[name-defined, misc] # of a source text
        mail: "Mail"

    for make in (written.Tuple, written.Base, Derived):
        assert isinstance((await made(make, written.Kept)).kept, written.Kept)


def test_a_type_of_an_enclosing_function_is_refused_with_the_cause() -> None:
    written = module(
        "def enclosing():\n"
        "    class Local: pass\n"
        "    class Taking:\n"
        "        def __init__(self, local: Local): ...\n"
        "    return Taking\n"
    )

    with pytest.raises(WiringError, match=r"name 'Local' is not defined.*enclosing"):
        ServiceFactory().singleton(written.enclosing()).check()


GENERIC = """
class Case[A, P: Bus]:
    def __init__(self, publisher: P, store: Store[A], maybe: P | None = None):
        self.publisher, self.store = publisher, store

class Sender[T](Bus): pass
class Rows(Store[Row]): pass
class Mine(Case[Row, Sender[Row]]): pass
class Passing[A, P: Bus](Case[A, P]):
    def __init__(self, *args: object, **kwargs: object):
        super().__init__(*args, **kwargs)
class Deep(Passing[Row, Sender[Row]]): pass

def make[P: Bus](mail: Mail) -> Sender[Row]: return Sender()
def generic[P: Bus](publisher: P) -> Row: return Row()
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax of PEP 695")
@pytest.mark.parametrize("name", ["Mine", "Deep"])
async def test_type_parameters_of_a_class_are_what_a_subclass_says(name: str) -> None:
    written = module(GENERIC)

    got = await made(vars(written)[name], written.make, written.Rows)

    assert isinstance(got.publisher, written.Sender)
    assert isinstance(got.store, written.Rows)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax of PEP 695")
@pytest.mark.parametrize(
    ("name", "cause"), [("Case", "Case needs P"), ("generic", "generic needs P")]
)
def test_a_type_parameter_that_nobody_gives_is_refused_at_start(
    name: str, cause: str
) -> None:
    written = module(GENERIC)
    factory = ServiceFactory().singleton(written.Rows).singleton(vars(written)[name])

    with pytest.raises(WiringError) as caught:
        factory.check()

    assert cause in caught.value.message or "Row needs P" in caught.value.message
