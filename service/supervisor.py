"""The parent of several workers. It differs from uvicorn's in one thing: SIGHUP is passed on to the workers.

uvicorn replaces every worker by a new process on SIGHUP. Here each one loads the rules again beside its calls
(service.reload), which takes half a second instead of several, forgets nothing that is in memory, and keeps
the rules in force where the new ones are broken.
"""

import os
import signal
from socket import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

from service.hangup import Hangup
from service.logs import logger

__all__ = ["Supervisor"]


class Supervisor(Multiprocess):
    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        self._hangup = Hangup()
        super().__init__(config, sockets)

    def handle_hup(self) -> None:
        if self._hangup.ends():
            self.handle_term()
            return
        logger().info("reload-asked", workers=len(self.processes))
        for worker in self.processes:
            # One that is still starting does not hear the signal yet, and reads the files anyway.
            if worker.pid is not None and worker.is_ready(self.config.timeout_worker_healthcheck):
                os.kill(worker.pid, signal.SIGHUP)
