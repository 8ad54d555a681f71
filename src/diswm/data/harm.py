"""What a clip lost while it was decoded, for its entry in the manifest."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class Harm:
    """What went wrong while a clip was decoded."""

    size: list[int] | None = None
    """Width and height of the first picture."""
    unlike: int = 0
    """Pictures of another size."""
    lost: list[str] = dataclasses.field(default_factory=list)
    """Why single pictures could not be used."""
    end: str = ""
    """Why it ended before its end."""

    def words(self, used: int, wanted: int | None) -> str:
        """Nothing where nothing went wrong."""
        if not used:
            return self.end or next(iter(self.lost), "holds no frames")
        found = []
        if self.lost:
            count = f"{len(self.lost)} picture{'s' * (len(self.lost) > 1)} cannot be used"
            found.append(f"{count} ({self.lost[0]}) and the clip is split there; the other {used} frames are used")
        if self.end:
            missing = f", {wanted - used} of {wanted} are lost" if wanted and wanted > used and not self.lost else ""
            found.append(f"{self.end}; the {used} frames before are used{missing}")
        if self.unlike:
            found.append(f"pictures of another size than the first: {self.unlike}")
        return ", and ".join(found)
