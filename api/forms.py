"""What forms of several pages hold alike."""

from starlette.datastructures import FormData

from bot.errors import Invalid

FOREIGN = "Hộ này không có trong sổ của bản."


def household_ids(form: FormData, field: str) -> list[int]:
    """The households ticked under this name. Raises Invalid for what no page of ours sends."""
    values = [value for value in form.getlist(field) if isinstance(value, str)]
    if not all(value.isdecimal() and len(value) < 18 for value in values):
        raise Invalid(FOREIGN, field)
    return [int(value) for value in values]
