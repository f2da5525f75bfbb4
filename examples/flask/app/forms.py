"""What a form shows again when it was refused: the values, and what is wrong with each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from flask import render_template, request
from picobase import PicoBaseError
from werkzeug.wrappers import Response

# What a view with a form answers: a page, a page with its status, or where to go.
Page: TypeAlias = str | tuple[str, int] | Response


@dataclass
class Form:
    """The values of a form by name, and what is wrong with them.

    Attributes:
        values: What stands in its fields.
        errors: Why the instance refused a field.
        error: Why it refused the whole.
    """

    values: Mapping[str, str]
    errors: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def sent(cls, *names: str) -> Form:
        """What was sent in these fields, without spaces around it."""
        return cls({name: request.form.get(name, "").strip() for name in names})

    def refuse(self, error: PicoBaseError) -> None:
        """Takes over what the instance said."""
        self.errors = {name: refused.message for name, refused in error.fields.items()}
        # Said above the form where no field says it. Values of fields that are no field of ours are named.
        strangers = [f"{name}: {text}" for name, text in self.errors.items() if name not in self.values]
        self.error = " ".join(strangers) if self.errors else error.message

    def page(self, template: str, **more: Any) -> tuple[str, int]:  # noqa: ANN401  (templates take anything)
        """The form's page, with the status of a form that was refused where it was."""
        return render_template(template, form=self, **more), 422 if self.errors or self.error else 200
