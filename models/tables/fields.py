"""The base class of every table's model, and the field types of the schema.

Values keep the types that psycopg2 and the rest of the application use: ids are strings, times are aware datetimes,
JSON is any JSON value. A field declares its column exactly as the migrations created it, with its default, choices and
keys: `tests/models/test_tables.py` builds the schema from the models and compares the two catalogs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args

import peewee
from peewee import Default

from models.database import db
from rules.json_text import dump_storable_json

#: The default of a column with the time of the row's creation.
NOW = "beckon_now()"


class Table(peewee.Model):
    """A table of the schema. Insertions return nothing unless `returning` says so: a role may be allowed to insert rows
    and not to read them."""

    class Meta:
        database = db
        legacy_table_names = False

    @classmethod
    def insert(cls, *args: Any, **kwargs: Any) -> Any:
        """Build an insertion of one row."""
        return super().insert(*args, **kwargs).returning()

    @classmethod
    def insert_many(cls, *args: Any, **kwargs: Any) -> Any:
        """Build an insertion of several rows."""
        return super().insert_many(*args, **kwargs).returning()

    @classmethod
    def insert_from(cls, *args: Any, **kwargs: Any) -> Any:
        """Build an insertion of a query's rows."""
        return super().insert_from(*args, **kwargs).returning()


if TYPE_CHECKING:
    _Field = peewee.Field[Any]
else:
    # Generic in peewee's stubs only.
    _Field = peewee.Field


class _Column(_Field):
    """A column. `default_sql` is the SQL of its default in the database; `unique` adds a UNIQUE constraint, where
    peewee's own option would create an index."""

    def __init__(
        self, *, default_sql: str | None = None, unique: bool = False, constraints: Iterable[Any] = (), **options: Any
    ) -> None:
        defaults = [] if default_sql is None else [Default(default_sql)]
        super().__init__(constraints=[*defaults, *_build_unique(unique), *constraints], **options)


def _build_unique(unique: bool) -> list[Any]:
    return [peewee.SQL("unique")] if unique else []


class IdField(_Column):
    """A UUID, as a string."""

    field_type = "uuid"


class TextField(_Column):
    """Text of any length; a limit is a rule of the input, not of the table."""

    field_type = "text"


class EnumField(TextField):
    """Text with a closed list of values, a `Literal` or names of a registry: its CHECK constraint."""

    def __init__(self, values: Any, **options: Any) -> None:
        super().__init__(**options)
        #: The values, in the order of their declaration.
        self.values: tuple[str, ...] = get_args(values) or tuple(values)

    def ddl(self, ctx: Any) -> Any:
        """Return the column's definition with its CHECK constraint."""
        allowed = ", ".join(f"'{value}'" for value in self.values)
        check = peewee.Check(f"{self.column_name} in ({allowed})")
        return peewee.NodeList((super().ddl(ctx), check))


class BooleanField(_Column):
    """True or false."""

    field_type = "boolean"


class IntegerField(_Column):
    """An integer of 32 bits."""

    field_type = "integer"


class SmallIntegerField(_Column):
    """An integer of 16 bits."""

    field_type = "smallint"


class BigIntegerField(_Column):
    """An integer of 64 bits: counters and milliseconds."""

    field_type = "bigint"


class FloatField(_Column):
    """A double precision number."""

    field_type = "double precision"


class TimeField(_Column):
    """A point in time, as an aware datetime."""

    field_type = "timestamptz"


class DateField(_Column):
    """A calendar date."""

    field_type = "date"


class BytesField(_Column):
    """Bytes: hashes of secrets."""

    field_type = "bytea"


class JsonField(_Column):
    """A JSON value (jsonb). What PostgreSQL cannot store is removed, as `rules.json_text` says."""

    field_type = "jsonb"

    def db_value(self, value: Any) -> Any:
        """Return the JSON text of a value; None is SQL's null."""
        return value if value is None or isinstance(value, peewee.Node) else dump_storable_json(value)

    def extract(self, *path: str) -> peewee.Expression:
        """Build `column #> path`: the JSON value at a path of names; null if there is none."""
        return peewee.Expression(self, "#>", _build_path(path))

    def extract_text(self, *path: str) -> peewee.Expression:
        """Build `column #>> path`: the value at a path of names, as text; null if there is none."""
        return peewee.Expression(self, "#>>", _build_path(path))


def _build_path(names: Iterable[str]) -> peewee.Value:
    # With a converter of its own, or the column's would make it JSON.
    return peewee.Value(f"{{{','.join(names)}}}", converter=str)


class JsonTextField(JsonField):
    """A JSON value as the text that was stored (json): cheap to store, parsed when it is read."""

    field_type = "json"


class TextListField(_Column):
    """A list of texts (text[])."""

    field_type = "text[]"


class IntegerListField(_Column):
    """A list of integers (integer[])."""

    field_type = "integer[]"


class SearchField(_Column):
    """The words of a row for full text search (tsvector), which PostgreSQL computes."""

    field_type = "tsvector"

    def __init__(self, expression: str) -> None:
        super().__init__(null=True, constraints=[peewee.SQL(f"generated always as ({expression}) stored")])


def reference(model: type[Table], *, on_delete: str | None = "cascade", unique: bool = False, **options: Any) -> Any:
    """Return a foreign key to `model`, whose value is the id. Name it like its column, `contact_id`.

    An index for it is declared with the table's other indexes.
    """
    return peewee.ForeignKeyField(
        model, on_delete=on_delete, index=False, lazy_load=False, backref="+", constraints=_build_unique(unique),
        **options,
    )  # fmt: skip


def index(declaration: str, *, include: str = "", where: str = "") -> peewee.SQL:
    """Return an index, declared as `name on table (columns)`. `include` names columns that it only carries; `where` is
    the condition of a partial one."""
    return peewee.SQL(f"create index {_build_index(declaration, include, where)}")


def unique_index(declaration: str, *, where: str = "") -> peewee.SQL:
    """Return a unique index, declared as for `index`."""
    return peewee.SQL(f"create unique index {_build_index(declaration, '', where)}")


def _build_index(declaration: str, include: str, where: str) -> str:
    return declaration + (f" include ({include})" if include else "") + (f" where {where}" if where else "")
