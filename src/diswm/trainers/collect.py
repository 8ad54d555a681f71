"""Collecting distracting videos: images and the true factors, no actions and no rewards."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from functools import partial

from diswm.contract import FACTOR_PREFIX, Env, Episode, Policy
from diswm.data.manifest import VideoWriter
from diswm.trainers.pool import Pool
from diswm.trainers.progress import Interrupt, progress
from diswm.trainers.rollout import Rollout, action_size, random_policy

_WORTH = 10_000
"""Frames for each worker that nobody asked for: to play 4,000 takes about as long as the start of one, on a busy machine more."""
_MOST = 8
"""As many of these at most: each takes about 0.4 GB."""


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """How much video to collect, and who acts."""

    frames: int = 1_000_000
    """Simulator steps to collect, over whole episodes."""
    policy: str = "random"
    """Who acts: `random`, or the folder of a trained run on the same task."""
    workers: int = 0
    """Processes that play episodes side by side; 0: this one. The data set is the same."""


def workers_for(frames: int, cores: int) -> int:
    """Worker processes that make collecting so many frames fastest: one a core, but none where they are not worth their start. For a
    command: in a script workers need `if __name__ == "__main__":`."""
    workers = min(cores, frames // _WORTH, _MOST)
    return workers if workers > 1 else 0


class Player:
    """Plays the episodes of a data set: each is a function of its seed, its number and the progress at which it begins.

    ``policy(number)`` acts in episode ``number``; it remembers nothing of others.
    """

    def __init__(self, env: Env, policy: Callable[[int], Policy], seed: int) -> None:
        self.env, self.policy, self.seed = env, policy, seed

    def __call__(self, number: int, progress: float, go_on: Callable[[int], bool] = lambda frames: True) -> Episode | None:
        """Images and factors of one episode; None where ``go_on``, which is told the frames so far, broke it off."""
        rollout = Rollout(self.env, self.seed, "collect", number, progress)
        policy, frames = self.policy(number), 0
        while go_on(frames):
            step = rollout.step(policy.act(rollout.image))
            frames += step.frames
            if step.done:
                episode = rollout.builder.episode()
                return {name: value for name, value in episode.items() if name == "image" or name.startswith(FACTOR_PREFIX)}
        return None


def random_player(make: Callable[[], Env], seed: int) -> Player:
    """One that acts at random in the environment that ``make`` gives."""
    env = make()
    return Player(env, partial(random_policy, seed, action_size(env), env.discrete), seed)


def quietly(make: Callable[[], Player]) -> Player:
    """What ``make`` gives, in a worker: what it warns of has been said by the player of the process that started it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def fill(player: Player, writer: VideoWriter, frames: int) -> bool:
    """Play again what somebody deleted among the episodes that are there, so that the data set is what it was and the next number is
    that of the next episode. False if it was interrupted; the same call goes on."""
    missing = writer.missing()
    if not missing or writer.frames >= frames:
        return True
    with Interrupt() as stop, progress("play what is missing", len(missing), "episodes") as bar:
        for done, number in enumerate(missing):
            bar.update(done)
            episode = player(number, writer.frames_before(number) / frames, lambda taken: not stop.requested)
            if episode is None:
                return False
            writer.add(episode, number)
        bar.update(len(missing))
    return True


def collect(player: Player, writer: VideoWriter, frames: int) -> int:
    """Add whole episodes until ``frames`` simulator steps are there; what the folder holds already counts.

    Returns the episodes written. Ctrl-C leaves a usable data set; the same call goes on with the episode after the last.
    """
    before = writer.episodes
    with Interrupt() as stop, progress("collect", frames, "frames", done=writer.frames) as bar:

        def go_on(taken: int) -> bool:
            bar.update(min(writer.frames + taken, frames))
            return not stop.requested

        while writer.frames < frames and not stop.requested:
            episode = player(writer.episodes, writer.frames / frames, go_on)
            if episode is not None:
                writer.add(episode)
    return writer.episodes - before


def collect_in(pool: Pool, writer: VideoWriter, frames: int, longest: int, *, phases: bool) -> int:
    """As `collect`, to the same files, with a pool of ``Player``s.

    When an episode begins depends on how long those before it are, and they may still be played: they are taken to have ``longest``
    frames, as they do where time alone ends them. With ``phases`` what an episode shows depends on when it begins; one that began at a
    time which turns out wrong is played again.
    """
    before, ready = writer.episodes, dict[tuple[int, float], Episode]()
    with Interrupt() as stop, progress("collect", frames, "frames", done=writer.frames) as bar:
        while writer.frames < frames and not stop.requested:
            while pool.free and (call := _next(pool, ready, writer, frames, longest)):
                pool.call(*call)
            ready |= {(call[0], call[1]): episode for call, episode in pool.results(seconds=0.2)}
            while writer.frames < frames and (call := _turn(ready, writer, frames, phases)):
                writer.add(ready.pop(call))
            bar.update(min(writer.frames, frames))
    return writer.episodes - before


def _next(pool: Pool, ready: dict[tuple[int, float], Episode], writer: VideoWriter, frames: int, longest: int) -> tuple[int, float] | None:
    """The first episode that nobody plays and that will be wanted; few are kept waiting for those before them."""
    begun = {call[0] for call in (*ready, *pool.calls)}
    for ahead in range(2 * len(pool)):
        starts = writer.frames + ahead * longest
        if starts < frames and writer.episodes + ahead not in begun:
            return writer.episodes + ahead, starts / frames
    return None


def _turn(ready: dict[tuple[int, float], Episode], writer: VideoWriter, frames: int, phases: bool) -> tuple[int, float] | None:
    """The episode that comes next, if it is there; one that began at the wrong time is forgotten."""
    call = next((call for call in ready if call[0] == writer.episodes), None)
    if call and phases and call[1] != writer.frames / frames:
        del ready[call]
        return None
    return call
