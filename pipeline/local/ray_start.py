"""Starts the processes of a Ray node, says where they are, and turns into a process that ends when one of them does.

Run by its path with one argument, a JSON object of what the node holds; with the address of a head it joins that one.

``ray start`` and ``ray.init`` start four Python processes beside these that nothing here uses: the autoscaler's
monitor, the log monitor, the dashboard's server, and a driver or a command that waits. Without them a head takes 200 MB
of memory instead of 490, and 4.5 s of CPU to start instead of 7.5. They are left out with the class that both commands
start a node with; it is no public interface, so the dependency on Ray is pinned to one minor release.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import psutil
from ray._common.usage import usage_lib
from ray._private.node import Node
from ray._private.parameter import RayParams

HOST: Final = "127.0.0.1"
WATCH: Final = "import os, sys; pids = set(map(int, sys.argv[1:]))\nwhile os.wait()[0] not in pids: pass"
"""Stays until one of the children that are named ends; without Ray's modules, which hold 70 MB."""


class LeanNode(Node):
    """A node without a dashboard, unless one is wanted."""

    def start_api_server(self, *, include_dashboard: bool | None = None, raise_on_failure: bool = False) -> None:
        """Start the dashboard's server only if it has something to serve; Ray would start it regardless."""
        if include_dashboard:
            super().start_api_server(include_dashboard=include_dashboard, raise_on_failure=raise_on_failure)

    def child_pids(self) -> list[int]:
        """Process ids of what was started."""
        return [started.process.pid for kind in self.all_processes.values() for started in kind]


def main(specification: str) -> None:
    """Start the node, write its address and ports to a file, and watch."""
    said: dict[str, Any] = json.loads(specification)
    usage_lib.set_usage_stats_enabled_via_env_var(False)
    parameters = RayParams(
        node_ip_address=HOST,
        gcs_address=said["head"],
        # 0 is any free one; the default is the same for every Ray of a machine
        dashboard_agent_listen_port=0,
        dashboard_port=0,  # type: ignore[arg-type]  # Ray annotates it as a bool
        num_cpus=said["cpus"],
        num_gpus=said["gpus"],
        resources=said["resources"],
        object_store_memory=said["object_store_bytes"],
        include_dashboard=said["dashboard"],
        include_log_monitor=said["worker_logs"],
        no_monitor=True,
        temp_dir=said["folder"],
    )
    # nothing of Ray ends itself with this process: the guard above it ends everything
    node = LeanNode(parameters, head=not said["head"], shutdown_at_exit=False, spawn_reaper=False)
    pids = node.child_pids()
    file = Path(said["address_file"])
    part = file.with_suffix(".part")
    told = {
        "address": node.gcs_address,
        "dashboard": node.webui_url,
        "ports": ports_below(pids),
        "node_id": node.node_id,
        "pids": pids,
    }
    part.write_text(json.dumps(told))
    part.rename(file)
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", WATCH, *map(str, pids)])


def ports_below(pids: list[int]) -> dict[str, list[int]]:
    """The TCP ports that processes and their children listen on, by the name of the process."""
    ports: dict[str, list[int]] = {}
    for pid in pids:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            listening = [
                each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN
            ]
            ports.setdefault(process.name(), []).extend(sorted(listening))
    return ports


if __name__ == "__main__":
    main(sys.argv[1])
