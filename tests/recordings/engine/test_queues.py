"""What goes through the queue, and Huey's consumer in a process that is not its own."""

from __future__ import annotations

import json
import pickle
import signal
import threading

import huey
import pytest
from huey.consumer import Consumer, Worker
from huey.registry import Message
from hypothesis import given
from hypothesis import strategies as st

from recordings.engine.queues import HintConsumer, JsonSerializer, make_queue

PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
FIELDS = dict.fromkeys(Message._fields, PLAIN) | {
    "args": st.lists(PLAIN, max_size=3).map(tuple),
    "kwargs": st.dictionaries(st.text(max_size=5), PLAIN, max_size=3),
}


@pytest.fixture
def queue(tmp_path):
    made = make_queue(f"sqlite:///{tmp_path}/deep/queue.db")
    yield made
    made.storage.close()


@pytest.fixture
def consuming(queue):
    """`consuming(threads)`: a consumer that runs in a thread of its own; what troubled it is in its `troubles`."""
    running = []

    def run(threads=1):
        troubles = []
        consumer = HintConsumer(queue, threads, troubles.append)
        consumer.troubles = troubles
        thread = threading.Thread(target=consumer.run)
        thread.start()
        running.append((consumer, thread))
        assert consumer.started.wait(10)
        return consumer

    yield run
    for consumer, thread in running:
        consumer.stop(graceful=True)
        thread.join(10)
        assert not thread.is_alive()


# --- Messages ---------------------------------------------------------------------------------------------------------


@given(st.fixed_dictionaries(FIELDS))
def test_every_field_of_a_message_survives(words):
    message, serializer = Message(**words), JsonSerializer()
    back = serializer.deserialize(serializer.serialize(message))
    assert type(back) is Message
    assert back._replace(args=tuple(back.args)) == message


def test_a_message_of_an_older_huey_has_fewer_fields():
    back = JsonSerializer().deserialize(json.dumps(["id", "archive"]).encode())
    assert (back.id, back.name, back.args) == ("id", "archive", None)


def test_a_message_names_its_task_alike_wherever_it_is_made(queue, tmp_path):
    done = []
    queue.task(name="archive", retries=0)(done.append)(7)
    (message,) = [JsonSerializer().deserialize(data) for data in queue.storage.enqueued_items()]
    assert (message.name.rpartition(".")[2], list(message.args)) == ("archive", [7])
    assert not message.name.startswith("tests")


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a message was run",))


@pytest.mark.parametrize(
    "data",
    [pickle.dumps(Evil()), b"", b"nonsense", b"[]", b"{}", b"null", b'["id", "no task"]', b"\xff\xfe", b"[" * 5000],
    ids=["pickle", "nothing", "nonsense", "list", "object", "null", "strange task", "no text", "nested"],
)
def test_a_message_that_is_not_ours_is_dropped_and_the_next_one_done(queue, consuming, data, until, caplog):
    done = []
    task = queue.task(name="archive", retries=0)(done.append)
    queue.storage.enqueue(data)
    task(7)
    consuming()
    until(lambda: done == [7], "the message behind it is done")
    assert "not ours" in caplog.text


# --- The consumer -----------------------------------------------------------------------------------------------------


def test_the_private_names_that_are_overridden_are_there():
    """They are not promised to us: a new Huey must be looked at before it is taken."""
    assert huey.__version__ == "3.5.4"
    assert callable(Consumer._set_signal_handlers)
    assert callable(Consumer._create_worker)
    assert callable(Worker.loop)


def test_the_signals_stay_with_whoever_owns_the_process(consuming):
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(name) for name in names]
    consuming()  # in a thread: there, setting a handler would raise
    assert [signal.getsignal(name) for name in names] == before


def test_the_threads_work_side_by_side(queue, consuming, until):
    together, done = threading.Barrier(3), []

    def meet(copy_id):
        together.wait(10)
        done.append(copy_id)

    task = queue.task(name="archive", retries=0)(meet)
    for n in range(3):
        task(n)
    consuming(threads=3)
    until(lambda: sorted(done) == [0, 1, 2], "three messages are done at once")


def test_a_job_that_fails_takes_no_thread_with_it(queue, consuming, until):
    done = []

    def fail_first(copy_id):
        if copy_id == 0:
            raise ZeroDivisionError
        done.append(copy_id)

    task = queue.task(name="archive", retries=0)(fail_first)
    task(0)
    task(1)
    consuming()
    until(lambda: done == [1], "the next message is done")


def test_a_queue_that_cannot_be_read_is_told_and_read_again(queue, consuming, until, monkeypatch):
    done, whole = [], queue.storage.dequeue
    task = queue.task(name="archive", retries=0)(done.append)
    task(7)
    away = threading.Event()
    away.set()

    def dequeue():
        if away.is_set():
            raise OSError("the server is away")
        return whole()

    monkeypatch.setattr(queue.storage, "dequeue", dequeue)
    consumer = consuming()
    until(lambda: consumer.troubles, "the trouble is told")
    away.clear()
    until(lambda: done == [7], "the message is done once the server is back")
    assert str(consumer.troubles[0]) == "the server is away"
