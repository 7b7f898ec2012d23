"""Who may do what on a server: the roles that the install brings, and the same as SQL."""

from __future__ import annotations

import re
from functools import cache
from xml.etree import ElementTree

from treehouse.clickhouse.client import identifier, literal
from treehouse.project.settings import ROOT

ROLES = ROOT / "udfs" / "treehouse_role.xml"
_HEAD = """\
-- The roles of Treehouse, for a server whose users are made by SQL. docs/roles.md says who
-- may do what. Run it once, as somebody who may grant; then, for example:
--   GRANT treehouse_analyst TO somebody;
"""


@cache
def granted() -> dict[str, tuple[str, ...]]:
    """What each role is granted, as `SELECT, INSERT ON place` or the name of another role."""
    return {
        role.tag: tuple(
            text.removeprefix("GRANT ") for text in _statements(role) if text.startswith("GRANT ")
        )
        for role in _file().iterfind("roles/*")
    }


def role_grants(role: str = "treehouse") -> list[tuple[str, str]]:
    """What a role grants by itself: privilege and place, such as SELECT on treehouse*.*."""
    split = [grant.rpartition(" ON ") for grant in granted()[role] if " ON " in grant]
    between = r", (?![^(]*\))"  # privileges, not columns
    return [
        (privilege, place) for names, _, place in split for privilege in re.split(between, names)
    ]


def as_sql() -> str:
    """The roles, and the user of dictionaries, as statements."""
    lines = [f"CREATE ROLE IF NOT EXISTS {identifier(role)};" for role in granted()]
    for role in _file().iterfind("roles/*"):
        lines += ["", *_whole(role)]
    for user in _file().iterfind("users/*"):
        hashed = user.findtext("password_sha256_hex", "")
        address = user.findtext("networks/ip", "")
        lines += [
            "",
            f"CREATE USER IF NOT EXISTS {identifier(user.tag)} "
            f"IDENTIFIED WITH sha256_hash BY {literal(hashed)} HOST IP {literal(address)};",
            *_whole(user),
        ]
    return _HEAD + "\n".join(lines) + "\n"


def _file() -> ElementTree.Element:
    return ElementTree.parse(ROLES).getroot()  # noqa: S314 (it is our own)


def _statements(element: ElementTree.Element) -> list[str]:
    """Of a role or a user, without saying whose they are: the file has them below its name."""
    return [query.text or "" for query in element.iterfind("grants/query")]


def _whole(element: ElementTree.Element) -> list[str]:
    """The same as SQL has them. What is revoked is so of what the same role was granted."""
    name = identifier(element.tag)
    return [
        f"{text} {'FROM' if text.startswith('REVOKE ') else 'TO'} {name};"
        for text in _statements(element)
    ]
