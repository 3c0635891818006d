"""What can go wrong. Every exception is a BerthError and also the built-in one it resembles."""

from __future__ import annotations


class BerthError(Exception):
    """Something went wrong in Berth. `code` is its stable name, such as "EBUDGET"."""

    code: str = ""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        if code:
            self.code = code


class UnknownModel(BerthError, ValueError):
    """No model, alias or family of this name; the message lists what there is."""

    code = "ENOTFOUND"


class InvalidOption(BerthError, ValueError):
    """An option has a value that the model does not take."""

    code = "EINVAL"


class NotSupported(BerthError, NotImplementedError):
    """Known, but not built yet."""

    code = "EUNSUPPORTED"


class LeaseReleased(BerthError, RuntimeError):
    """The object belongs to a `with` block that has ended."""

    code = "ELOST"


class LeaseRevoked(LeaseReleased):
    """The lease was taken away by a clean-up that could not wait any longer."""

    code = "EREVOKED"


class LeaseTimeout(BerthError, TimeoutError):
    """The model was not to be had in time."""

    code = "ETIMEDOUT"


class UpgradeError(BerthError, RuntimeError):
    """Exclusive access was asked for inside one's own shared access: that could wait for ever."""

    code = "EUPGRADE"


class DeadlockError(BerthError, RuntimeError):
    """Waiting would never end. A `with` would block the event loop that the holder needs: use
    `async with`. Or others wait for what this thread holds, and it for what they hold: leave that and
    enter both anew."""

    code = "EDEADLOCK"


class ModelDisabled(BerthError, RuntimeError):
    """The model was taken out of use."""

    code = "EDISABLED"


class ForkError(BerthError, RuntimeError):
    """A lease from before fork() does not work in the child: take a new one there."""

    code = "EFORKED"


class OutOfMemory(BerthError, MemoryError):
    """The model or the request does not fit into the device's memory; the message has numbers."""

    code = "EBUDGET"


class AudioError(BerthError, RuntimeError):
    """The sound cannot be read."""

    code = "EAUDIO"


_BY_NAME: dict[str, type[BerthError]] = {
    "EINVAL": InvalidOption,
    "ENOMEM": OutOfMemory,
    "EBUDGET": OutOfMemory,
    "ENOTFOUND": UnknownModel,
    "EAUDIO": AudioError,
    "EUNSUPPORTED": NotSupported,
    "ETIMEDOUT": LeaseTimeout,
    "ELOST": LeaseReleased,
    "EREVOKED": LeaseRevoked,
    "EUPGRADE": UpgradeError,
    "EDEADLOCK": DeadlockError,
    "EDISABLED": ModelDisabled,
    "EFORKED": ForkError,
}


def from_code(name: str, message: str) -> BerthError:
    """The exception for an error of libberth."""
    return _BY_NAME.get(name, BerthError)(message, name)
