"""SHA-256 as Python has it built in: ``hashlib`` loads OpenSSL for it, some megabytes that nothing else may need."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256 as sha256
else:
    try:
        from _sha2 import sha256  # Python 3.12 and newer
    except ImportError:
        try:
            from _sha256 import sha256  # older ones
        except ImportError:  # one that was built without
            from hashlib import sha256  # noqa: F401  what this module is for
