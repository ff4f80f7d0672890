"""The queue only carries hints: intake does not wait for its server, and what it lost is found again."""

from __future__ import annotations

import os
import pickle
import signal

import pytest
import redis

from tests.chaos.deployment import wait_for

pytestmark = pytest.mark.timeout(300)  # processes start slowly on a machine that is busy

IN_TIME = 1.0
QUEUE = "huey.redis.tapekeeper"


@pytest.mark.parametrize("killed", [True, False], ids=["refuses connections", "hangs"])
def test_intake_answers_within_a_second_without_the_queue(deploy, vonage, announce, killed):
    files = [vonage.add_file(size=1_000) for _ in range(5)]
    with deploy("redis", workers=1) as deployment:
        if killed:
            deployment.redis.stop(signal.SIGKILL)
        else:
            deployment.redis.freeze()
        replies = [announce(deployment, file) for file in files]
        assert [reply.status for reply in replies] == [204] * 5
        assert max(reply.seconds for reply in replies) < IN_TIME
        assert not any(file.requests for file in files)
        if killed:
            deployment.redis.start()
        else:
            deployment.redis.thaw()
        wait_for(lambda: not deployment.unfinished(), "everything is stored when the queue is back")
        assert len(deployment.listed()) == 5


class Bomb:
    """What a stranger may put into the queue: a pickle that runs a command in whoever loads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_the_queue_is_refused_and_harms_nothing(deploy, vonage, announce, tmp_path):
    file = vonage.add_file(size=1_000)
    bomb = tmp_path / "exploded"
    with deploy("redis", workers=0) as deployment, redis.Redis.from_url(deployment.redis.url) as queue:
        assert announce(deployment, file).status == 204
        wait_for(lambda: queue.llen(QUEUE), "the message arrives")
        queue.delete(QUEUE)  # ours is lost, theirs is there
        queue.lpush(QUEUE, pickle.dumps(Bomb(bomb)), b"\x80", b"[]", b'{"a": 1}', b"null", b'["x", "y"]')
        deployment.workers[0].start()
        wait_for(lambda: not deployment.unfinished(), "the sweep finds the copy")
        wait_for(lambda: not queue.llen(QUEUE), "the queue is empty")
        said = deployment.workers[0].said()
        assert not bomb.exists()
        assert said.count("is not ours and was dropped") == 6
        assert "Traceback" not in said
