# Prints a line for each equation that does not hold; nothing when the books are right.
def total: [.[]?] | add // 0;
(.ports | to_entries[] | .key as $port | .value
	| (select(.rx_packets != .forwarded + .flooded + .consumed + (.rx_drops | total))
		| "\($port): rx \(.rx_packets) != forwarded \(.forwarded) + flooded \(.flooded) + consumed \(.consumed) + drops \(.rx_drops | total)"),
	  (select(.offered != .tx_packets + (.tx_drops | total))
		| "\($port): offered \(.offered) != tx \(.tx_packets) + drops \(.tx_drops | total)")),
(select(([.ports[].offered] | add // 0) + .gone_offered != .copies)
	| "offered \([.ports[].offered] | add // 0) + gone \(.gone_offered) != copies \(.copies)")
