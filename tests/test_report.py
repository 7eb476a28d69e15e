"""What the daemon says of itself, and when."""

from __future__ import annotations

from edgerun.runtime.health.report import News


def test_what_changed_is_told_again_once_its_figures_mean_something() -> None:
    """A camera that has just come up has no frame rate yet, which nobody wants to see for a minute."""
    news = News()
    told = [at for at in range(200) if news.is_due("offline" if at < 3 else "ok", at)]
    assert told == [0, 3, 14, 75, 136, 197]
