package filter

// A node is a place in the body that patterns speak of: the root, or the value
// of one name in the object of another node. The patterns of a set share nodes.
//
// While a body is read, each slot has a state. Those of a node's children
// belong to the object of the node that is being read, and begin anew with each
// object of an array. There is one state for a slot because a node lies deeper
// in the body than the node above it, so two objects of one node are never open
// at once.
type node struct {
	clauses []*slot // asked about the values here
	objects []*slot // asked about the objects here
	names   []string
	nodes   []*node
	byName  map[string]*node // set if there are many names

	first, end     int // the slots of this node
	below, belowTo int // the slots of its children
}

// A slot is a part of a pattern that is true or false of one object of the
// body: a clause, or the conditions on an object.
type slot struct {
	id        int
	absent    bool       // it holds where there is no such value or object
	rules     []rule     // of a clause
	condition *condition // of an object
}

// The states of a slot.
const (
	unseen byte = iota // no such value or object was read
	seen               // there was one, but none for which it holds
	held
)

// A condition holds if all slots do, and one of alternatives if there are any.
type condition struct {
	slots        []*slot
	alternatives []*condition
}

func (c *condition) holds(states []byte) bool {
	for _, s := range c.slots {
		if state := states[s.id]; state != held && (state == seen || !s.absent) {
			return false
		}
	}
	for _, a := range c.alternatives {
		if a.holds(states) {
			return true
		}
	}
	return len(c.alternatives) == 0
}

// absent reports whether c holds of an object that is empty or not there.
func (c *condition) absent() bool {
	for _, s := range c.slots {
		if !s.absent {
			return false
		}
	}
	for _, a := range c.alternatives {
		if a.absent() {
			return true
		}
	}
	return len(c.alternatives) == 0
}

// NewSet makes a set of patterns. Making it costs far more than a match, so it
// is worth keeping.
func NewSet(patterns ...*Pattern) *Set {
	roots := make([]*object, len(patterns))
	for i, p := range patterns {
		roots[i] = p.root
	}
	return newSet(roots)
}

func newSet(roots []*object) *Set {
	s := &Set{root: &node{}}
	for _, root := range roots {
		s.patterns = append(s.patterns, s.root.object(root))
	}
	s.number()
	return s
}

// object adds the conditions of o on the objects of n.
func (n *node) object(o *object) *slot {
	s := &slot{condition: n.condition(o)}
	s.absent = s.condition.absent()
	n.objects = append(n.objects, s)
	return s
}

func (n *node) condition(o *object) *condition {
	c := &condition{}
	for _, f := range o.fields {
		child := n.child(f.name)
		if f.child != nil {
			c.slots = append(c.slots, child.object(f.child))
			continue
		}
		s := &slot{rules: f.clause.rules, absent: f.clause.absent}
		child.clauses = append(child.clauses, s)
		c.slots = append(c.slots, s)
	}
	for _, a := range o.alternatives {
		c.alternatives = append(c.alternatives, n.condition(a))
	}
	return c
}

// child returns the node for name below n and makes it if there is none.
func (n *node) child(name string) *node {
	if n.byName == nil {
		for i := range n.names {
			if n.names[i] == name {
				return n.nodes[i]
			}
		}
	}
	if c := n.byName[name]; c != nil {
		return c
	}
	c := &node{}
	n.names = append(n.names, name)
	n.nodes = append(n.nodes, c)
	if len(n.names) > manyNames {
		if n.byName == nil {
			n.byName = map[string]*node{}
		}
		for i := range n.names {
			n.byName[n.names[i]] = n.nodes[i]
		}
	}
	return c
}

// With up to this many names it is faster to compare each than to use a map.
const manyNames = 8

// find returns the node for name below n, or nil.
func (n *node) find(name []byte) *node {
	if n.byName != nil {
		return n.byName[string(name)]
	}
	for i := range n.names {
		if n.names[i] == string(name) {
			return n.nodes[i]
		}
	}
	return nil
}

// number gives each slot its id, so that the slots of a node and those of its
// children together are each one range.
func (s *Set) number() {
	s.root.take(&s.slots)
	for queue := []*node{s.root}; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		n.below = s.slots
		for _, c := range n.nodes {
			c.take(&s.slots)
		}
		n.belowTo = s.slots
		queue = append(queue, n.nodes...)
	}
}

func (n *node) take(next *int) {
	n.first = *next
	for _, slots := range [][]*slot{n.clauses, n.objects} {
		for _, s := range slots {
			s.id = *next
			*next++
		}
	}
	n.end = *next
}
