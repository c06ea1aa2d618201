"""The outputs of one execution of a cell, from the kernel's messages, as JupyterLab would show them."""

from typing import Any

from nbformat.v4 import output_from_msg
from stream import Text

# Characters. A page becomes unusable long before; what follows is left out, with a line that says so.
_MOST = 32_000_000
_LEFT_OUT = "\n[gpu-box] more output than a notebook can hold: the rest is left out\n"
# https://jupyter-client.readthedocs.io/en/stable/messaging.html, "Messages on the IOPub channel"
TYPES = ("stream", "display_data", "execute_result", "error", "clear_output")


class Outputs:
    def __init__(self) -> None:
        self._shown: list[dict[str, Any]] = []
        self._displays: dict[str, list[dict[str, Any]]] = {}  # by display id
        self._clear_before_next = False
        self._size = 0

    def take(self, message: dict[str, Any]) -> None:
        """A message of TYPES."""
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "clear_output":
            self._clear_before_next = True
            if not content.get("wait"):
                self._clear()
            return
        if self._clear_before_next:
            self._clear()
        if self._size > _MOST:
            return
        self._size += len(str(content))
        if self._size > _MOST:
            kind, content = "stream", {"name": "stderr", "text": _LEFT_OUT}
        if kind == "stream":
            self._print(content["name"], content["text"])
            return
        output = dict(output_from_msg({**message, "content": content}))
        self._shown.append(output)
        if display := (content.get("transient") or {}).get("display_id"):
            self._displays.setdefault(display, []).append(output)

    def update(self, content: dict[str, Any]) -> bool:
        """Apply the content of an update_display_data. Returns whether it changed one of these outputs."""
        found = self._displays.get((content.get("transient") or {}).get("display_id") or "", [])
        for output in found:
            output.update(data=content["data"], metadata=content["metadata"])
        return bool(found)

    def as_saved(self) -> list[dict[str, Any]]:
        return [
            {**output, "text": str(output["text"])} if "text" in output else output for output in self._shown
        ]

    def _print(self, name: str, text: str) -> None:
        if not self._shown or self._shown[-1].get("name") != name:
            self._shown.append({"output_type": "stream", "name": name, "text": Text()})
        self._shown[-1]["text"].add(text)

    def _clear(self) -> None:
        self._shown, self._displays, self._clear_before_next, self._size = [], {}, False, 0
