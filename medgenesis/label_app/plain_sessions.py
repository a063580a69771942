"""MONAI Label's sessions (a scan that a viewer sends for a while), which are asked for by a plain name alone."""

from typing import Any

from fastapi import HTTPException
from monailabel.utils.sessions import Sessions

from medgenesis.label_app.plain_names import is_plain


class PlainSessions(Sessions):
    """Sessions whose ID cannot lead out of their folder: MONAI Label removes the folder of one whose scan is gone."""

    def get_session(self, session_id: str, update_ts: bool = True, fetch_cache: bool = True) -> Any:
        """What is kept of a session.

        Raises:
            HTTPException: (404) there is none; while old ones are cleared away (without `fetch_cache`), None.
        """
        found = super().get_session(session_id, update_ts, fetch_cache) if is_plain(session_id) else None
        if found is None and fetch_cache:
            raise HTTPException(
                404, f"session: must be one that has not expired; found {session_id!r}. Send the scan again."
            )
        return found

    def remove_session(self, session_id: str) -> None:
        """Remove one, with its scan."""
        if is_plain(session_id):
            super().remove_session(session_id)
