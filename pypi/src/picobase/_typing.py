"""What the classes here need of `typing` at run time. Importing that takes a third of a short program's start.

Type checkers take `TYPE_CHECKING` for true whatever it says, and read the names from `typing` itself.
"""

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any as Any
    from typing import ClassVar as ClassVar
    from typing import Generic as Generic
    from typing import Literal as Literal
    from typing import TypeVar as TypeVar
    from typing import overload as overload
else:
    from types import GenericAlias

    # These stand in annotations only, which are not evaluated.
    Any = ClassVar = Literal = None

    class Generic:
        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

    TypeVar = str

    def overload(function):
        return function
