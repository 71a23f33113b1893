"""Faust's way of sharing partitions out, but never from half a picture. Knows topics; nothing of members."""

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor

from infra.stream.shell import Fatal, give_up


class WholeAssignor(PartitionAssignor):
    """A broker that has just come back may not know its topics yet. Faust then assigns nothing of them to anybody, the
    group is content, and nothing moves until somebody joins or leaves: so the leader starts again instead."""

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """Assignments by member. Ends the process where a topic's partitions are not known."""
        missing = unknown(cluster, member_metadata)
        if missing:
            give_up("assignor", Fatal(f"the broker does not know yet which partitions {', '.join(missing)} have"))
        return super().assign(cluster, member_metadata)


def unknown(cluster: Any, member_metadata: Any) -> list[str]:
    """The topics somebody wants to read and the broker has told nothing about."""
    wanted = {topic for metadata in member_metadata.values() for topic in metadata.subscription}
    return sorted(topic for topic in wanted if not cluster.partitions_for_topic(topic))
