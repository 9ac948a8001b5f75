"""The dashboard of groups: several gateways that do the work of one."""

from docker.grafana.panel import (
    GATE,
    ZERO_IS_GOOD,
    Board,
    Panel,
    each,
    histogram,
    linked,
    marks,
)

TO_GATEWAY = (("The gateway ${__field.labels.instance}", linked("gateway", instance="${__field.labels.instance}")),)
FULL = ((None, "green"), (0.5, "orange"), (0.7, "red"))

GROUP = Board(
    "group", "Groups of gateways", (("site", "gateway_group_members"), ("instance", "gateway_group_members")),
    (
        (
            Panel("stat", "Is everything done by somebody?", "Sources and brokers that no member shows to have, as the "
                  "member says that sees most of them.",
                  (each("site", f"gateway_group_works_without_member{{{GATE}}}", "max"),), "count:works", 6, 5,
                  ZERO_IS_GOOD, states=((0, "everything is", "green"),), alerts=("GroupWorkWithoutMember",)),
            Panel("stat", "How many members are there?", "As the member says that sees fewest.",
                  (each("site", f"gateway_group_members{{{GATE}}}", "min"),), "count:members", 6, 5, decimals=0,
                  links=(("All gateways", linked("fleet", site="${__field.labels.site}")),)),
            Panel("stat", "Do enough NATS servers have the log?", "Servers that have all of it, the leader too. Of "
                  "three two must, or nothing is stored; 0 while none leads.",
                  (each("site", f'gateway_group_log_replicas{{what="current",{GATE}}}', "min"),), "count:servers", 6, 5,
                  ((None, "red"), (2, "orange"), (3, "green")), decimals=0),
            Panel("stat", "Is the log filling?", "Share of group.max_bytes that is in use; sources stop at "
                  "seven eighths.",
                  (each("site", f'max without (what) (gateway_group_log_bytes{{what="held",{GATE}}}) / '
                        f'max without (what) (gateway_group_log_bytes{{what="capacity",{GATE}}})', "max"),),
                  "percentunit", 6, 5, FULL, 1, alerts=("GroupLogFilling",)),
        ),
        (
            Panel("lines", "Who has how much?", "Sources and brokers that each member has.",
                  (each("instance, kind", f"gateway_group_works{{{GATE}}}"),), "count:works", stacked=True,
                  links=TO_GATEWAY, decimals=0),
            Panel("bars", "What changed hands?", "Works that members took, handed over in order, and lost to another "
                  "one over the time shown, the most frequent first.",
                  ((f"sort_desc(sum by (instance, what) "
                    f"(increase(gateway_group_changes_total{{{GATE}}}[$__range])) > 0)",
                    "{{instance}} {{what}}"),), "count:works", decimals=0, nothing="nothing did"),
            Panel("lines", "How often was a work taken over?", "The highest epoch among the claims of each member: a "
                  "step is a take-over.", (each("instance", f"gateway_group_epoch{{{GATE}}}", "max"),), "count:epochs",
                  filled=False, decimals=0, links=TO_GATEWAY),
        ),
        (
            Panel("states", "Which NATS server leads?", "A change is an election, in which nothing is stored for 4 "
                  "to 9 seconds.", (each("server", f"gateway_group_log_leader{{{GATE}}}", "max"),), "short", 12, 6,
                  states=((1, "leads", "green"),)),
            Panel("lines", "How far behind is the slowest broker?", "Records of the log that came after what it has "
                  "acknowledged.", (each("instance", f"gateway_group_log_behind_records{{{GATE}}}", "max"),),
                  "count:records", 12, 6, alerts=("GroupLogFilling",), links=TO_GATEWAY),
        ),
        (
            Panel("lines", "How many appends are there?", "Records per second that each member got stored.",
                  (each("instance", f"rate(gateway_group_append_seconds_count{{{GATE}}}[$__rate_interval])"),),
                  "count:records/s", 12, links=TO_GATEWAY),
            Panel("heat", "How long does an append take?", "Until the log has it on the disks of most servers. The "
                  "stronger the colour of a cell, the more appends took that long; a cell is as high as the histogram "
                  "is exact.", histogram("gateway_group_append_seconds", GATE), "s", 12),
        ),
    ),
    marks(GATE, ',instance=~"$instance"'),
)  # fmt: skip
