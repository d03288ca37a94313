"""MJCF's option flags, as a model may be loaded with others than its file has."""

from collections.abc import Mapping

import mujoco

# name in MJCF -> bit, and whether the bit disables
_BITS = {
    name.removeprefix(prefix).lower(): (int(bit), prefix == "mjDSBL_")
    for kind, prefix in ((mujoco.mjtDisableBit, "mjDSBL_"), (mujoco.mjtEnableBit, "mjENBL_"))
    for name, bit in kind.__members__.items()
    if name.startswith(prefix)
}
_VALUES = ("enable", "disable")


def set_flags(option: mujoco.MjOption, flags: Mapping[str, str]) -> None:
    """Set `flags`, from names as in `<flag sleep="disable"/>` to "enable" or "disable"; ValueError for other words."""
    for name, value in flags.items():
        if name not in _BITS:
            raise ValueError(f"flags: MuJoCo has no option flag {name!r}, expected one of {', '.join(sorted(_BITS))}")
        if value not in _VALUES:
            raise ValueError(f"flags: {name} is {value!r}, expected 'enable' or 'disable'")
        bit, disables = _BITS[name]
        field = "disableflags" if disables else "enableflags"
        on = (value == "disable") == disables
        bits = int(getattr(option, field))
        setattr(option, field, bits | bit if on else bits & ~bit)


def advice_on_flag(name: str, value: str) -> str:
    """How a refusal says that a flag can be set otherwise."""
    return f'leave the flag out, or load the model with flags={{"{name}": "{value}"}}'
