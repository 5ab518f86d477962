package bounds

// What a Service may make of a node's rules. A service's ports, addresses and endpoints
// multiply, so each product has an end; what is beyond is left out and told.
const (
	// PortBackends is how many endpoints one port of a service has on a node. One rule holds
	// them all, and one transaction the rule.
	PortBackends = 1 << 16
	// ServiceBackends is the same for all ports of a service together; when there are more,
	// every node takes other ones.
	ServiceBackends = 1 << 18
	// ServiceFronts is how many pairs of an address and a port a service is reached by.
	ServiceFronts = 1 << 16
	// ServiceRanges is how many rules for source ranges a service has, over all its ports.
	ServiceRanges = 1 << 14
	// NodeAddresses is how many addresses of one node are kept from services on the ports of
	// nodes.
	NodeAddresses = 32
	// ServiceClients is how many clients a service with affinity remembers on a node, over all
	// its ports, PortClients how many a port remembers at least.
	ServiceClients = 1 << 16
	PortClients    = 16
	// StaleFlows is how many flows of connection tracking are remembered for deletion while
	// it fails.
	StaleFlows = 1 << 16
)
