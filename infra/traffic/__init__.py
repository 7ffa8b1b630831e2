"""Lifelike traffic: invented customers of eight industries, who talk over five channels. Deterministic by seed.

    generate    conversations in sending order, with typical faults: duplicates, late and malformed records
    planted     every piece of personal data that `generate` inserts, to search outputs for leaks
    bulk        a fast stream for benchmarks

The generator does not depend on the pipeline: it writes the wire contract `undertone.event/1`, as a producer would.
"""

from infra.traffic.bulk import bulk
from infra.traffic.generate import Scene, Sent, generate, plan, planted

__all__ = ["Scene", "Sent", "bulk", "generate", "plan", "planted"]
