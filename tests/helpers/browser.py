"""Chromium without a window, asked over a pipe (Chrome DevTools Protocol): tests that open pages as a user does."""

import base64
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = "--headless=new --no-sandbox --use-angle=swiftshader --enable-unsafe-swiftshader --hide-scrollbars".split()


class Browser:
    """A browser with one page; a context that ends it.

    Args:
        folder: of its profile.
        size: of the page in pixels.
    """

    def __init__(self, folder, size=(1400, 900)):
        there, self._ask = os.pipe()
        self._heard, back = os.pipe()
        words = [CHROMIUM, *FLAGS, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={folder}"]
        line = f'exec "$@" --remote-debugging-pipe about:blank 3<&{there} 4>&{back}'
        self.process = subprocess.Popen(
            ["bash", "-c", line, "bash", *words],
            pass_fds=(there, back),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(there)
        os.close(back)
        self._left, self._number, self.session, self.said = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Network"):
            self.call(f"{part}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait(30)
        os.close(self._ask)
        os.close(self._heard)

    def call(self, method, **params):
        """The answer to a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._ask, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(120)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def run(self, script):
        """What a script gives in the page, promises awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def until(self, script, seconds=120):
        """Wait until a script gives something true, and return that."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            try:
                found = self.run(script)
            except RuntimeError:  # the page is being left
                found = None
            if found:
                return found
            time.sleep(0.5)
        raise TimeoutError(f"{script}; the page said: {self.said[-20:]}")

    def open(self, address):
        self.call("Page.navigate", url=address)

    def click(self, script):
        """Click the middle of the element that a script gives, as a mouse does."""
        x, y = self.run(
            f"(() => {{ const r = ({script}).getBoundingClientRect(); "
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path):
        """Keep what the page shows as PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def _note(self, event):
        if event.get("method") == "Runtime.exceptionThrown":
            self.said.append(str(event["params"]["exceptionDetails"])[:600])
        if event.get("method") == "Network.responseReceived":
            answer = event["params"]["response"]
            if answer["status"] >= 400:
                self.said.append(f"{answer['status']} {answer['url']}")
        if event.get("method") == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "warning"):
            self.said.append(
                " ".join(str(one.get("value", one.get("description")))[:300] for one in event["params"]["args"])
            )

    def _next(self, seconds):
        while b"\0" not in self._left:
            if not select.select([self._heard], [], [], seconds)[0]:
                raise TimeoutError("the browser does not answer")
            read = os.read(self._heard, 1 << 20)
            if not read:
                raise RuntimeError("the browser has ended")
            self._left += read
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)
