/* The protocol of the dispatcher, for one event and one endpoint: the rules of
 * doc.go, each of which -DNO_RULE_1 to -DNO_RULE_8 takes out.
 *
 * Two dispatchers work on two lanes. A lane is a set of messages: one may be
 * received twice, and comes again when whoever received it dies or fails. Time is
 * left out: what is due later may come at any time. What can go wrong is bounded,
 * because a world in which everything always fails keeps no promise. */
#define LAST 2      /* attempts in a run: what follows a third is what followed the second */
#define PATIENCE 3  /* receives after which a lane buries a message */
#ifndef DEATHS
#define DEATHS 1    /* of dispatchers */
#endif
#ifndef COPIES
#define COPIES 1    /* messages that are received twice */
#endif
#ifndef FAULTS
#define FAULTS 1    /* writes that fail */
#endif
mtype = { EVENT, ATTEMPT, RECORD, GARBAGE };
mtype = { none, failed, succeeded };

/* A message: what it asks for, MID, run, number and receives. In place of its
 * receives a RECORD carries the outcome. */
chan events  = [4] of { mtype, byte, byte, byte, byte };
chan retries = [7] of { mtype, byte, byte, byte, byte };

/* The store: the event with the MID that put it, and the dispatcher that works on
 * it alone (0: none); two runs of attempts, each with the MID that recorded it. */
bool put; byte putBy, claimed, latest;
mtype attempt[4] = none; byte by[4];

/* What has gone wrong, and what is noticed: calls that reached the endpoint, runs
 * whose message was never sent, and deliveries that only the repair walk found. */
byte deaths, copies, faults, posts[4], unmade, repairs, mids = 2;

#define at(r, n)    ((r) * LAST + (n) - 1)
#define success(r)  (attempt[at(r, 1)] == succeeded || attempt[at(r, 2)] == succeeded)
#define over(r)     (attempt[at(r, LAST)] != none || success(r))

/* The call of an attempt; whether the endpoint takes it is the endpoint's affair.
 * Nothing is called again after a success that was on record when the message
 * came. No call is repeated but by a death between call and record, or by two who
 * are given copies of one message at the same time: no rule can help those, but
 * for the first attempt, which the claim guards. */
inline call(r, n) {
	atomic {
		if :: outcome = failed :: outcome = succeeded fi;
		printf("dispatcher %d calls: run %d attempt %d, %e\n", _pid, r, n, outcome);
		assert(!known);
		posts[at(r, n)]++;
		assert(posts[at(r, n)] <= 1 + deaths + (r == 0 && n == 1 && faults == 0 -> 0 : copies))
	}
}

inline die() {
	if
	:: !dead && deaths < DEATHS -> deaths++; dead = true; printf("dispatcher %d dies\n", _pid)
	:: skip
	fi
}

/* Recorded under the condition that it is not on record. */
inline keep(r, n, mid) {
	atomic {
		if
		:: attempt[at(r, n)] == none -> attempt[at(r, n)] = outcome; by[at(r, n)] = mid;
			printf("dispatcher %d records run %d attempt %d\n", _pid, r, n)
		:: else
		fi
	}
}

inline follow(r, n, mid) {
	if
	:: attempt[at(r, n)] == failed && n < LAST ->
		retries ! ATTEMPT, mid, r, n + 1, 0; printf("dispatcher %d sends attempt %d\n", _pid, n + 1)
	:: else
	fi
}

/* One attempt: look, call, record, follow. */
inline make(r, n, mid) {
	if
	:: attempt[at(r, n)] != none ->                  /* on record already */
#ifndef NO_RULE_3
		if :: by[at(r, n)] == mid -> follow(r, n, mid) :: else fi
#endif
	:: attempt[at(r, n)] == none && r < latest       /* a newer run took over */
	:: attempt[at(r, n)] == none && r == latest ->
		call(r, n);
		die();
#ifdef NO_RULE_6
		if :: !cut -> cut = true; dead = true; printf("dispatcher %d runs out of time\n", _pid) :: skip fi;
#endif
		if
		:: dead
		:: !dead && faults < FAULTS -> faults++; printf("dispatcher %d cannot record the outcome\n", _pid);
#ifdef NO_RULE_4
			fail = true
#else
			retries ! RECORD, mid, r, n, (outcome == succeeded -> 1 : 0)
#endif
		:: !dead -> keep(r, n, mid); die(); if :: !dead -> follow(r, n, mid) :: else fi
		fi
	fi
}

/* The end of an invocation: what failed, or was held by one that died, comes again. */
inline finish(lane) {
#ifdef NO_RULE_5
	fail = true;                                     /* the counters cannot be written */
#endif
	if
	:: dead || fail ->
#ifdef NO_RULE_1
		if :: kind == EVENT -> mids++; mid = mids :: else fi;
#endif
		printf("%e comes again\n", kind);
		if
		:: kind == RECORD -> lane ! kind, mid, r, n, receives
		:: kind != RECORD && receives + 1 < PATIENCE -> lane ! kind, mid, r, n, receives + 1
		:: kind != RECORD && receives + 1 >= PATIENCE -> assert(kind == GARBAGE)  /* it is buried */
		fi
	:: else
	fi
}

inline receive(lane) {
	lane ? kind, mid, r, n, receives; dead = false; fail = false; known = success(r);
	printf("dispatcher %d receives %e of MID %d, run %d attempt %d\n", _pid, kind, mid, r, n);
	if :: copies < COPIES -> copies++; printf("a copy of it stays\n"); lane ! kind, mid, r, n, receives :: skip fi
}

active [2] proctype dispatcher() {
	mtype kind, outcome; byte mid, r, n, receives; bool dead, fail, cut, first, known;
end:	do
	:: atomic { nempty(events) -> receive(events) }
		if
		:: kind == GARBAGE ->
			assert(receives == 0);                   /* it takes the place of others once */
#ifdef NO_RULE_7
			fail = true                              /* else it is buried */
#endif
		:: kind == EVENT ->
			atomic {
				first = !put || (putBy == mid && claimed == 0);
				if
				:: put && putBy == mid && claimed != 0 -> events ! kind, mid, r, n, receives
				:: !put -> put = true; putBy = mid
				:: else                              /* else the provider's repetition, dropped */
				fi;
#ifndef NO_RULE_2
				if :: first -> claimed = _pid + 1 :: else fi
#endif
			}
			if
			:: first ->
				die();
				if :: !dead -> make(0, 1, mid) :: else fi;
				if :: claimed == _pid + 1 -> claimed = 0 :: else fi   /* by the invocation's end */
			:: else
			fi
		fi;
		finish(events)
	:: atomic { nempty(retries) -> receive(retries) }
		if
		:: kind == ATTEMPT -> make(r, n, mid)
		:: kind == RECORD ->
			outcome = (receives == 1 -> succeeded : failed);
			keep(r, n, mid);
			die();
			if :: !dead && by[at(r, n)] == mid -> follow(r, n, mid) :: else fi
		fi;
		finish(retries)
	od
}

#ifndef NO_RULE_8
/* The walk over what is overdue: it runs seldom, so only when nothing else does. */
active proctype repair() {
end:	do
	:: atomic { put && !over(latest) && timeout ->
		repairs++; printf("repair finds run %d open and no message\n", latest);
		assert(repairs <= unmade);                   /* the other rules need it for nothing else */
		retries ! ATTEMPT, 3, latest, (attempt[at(latest, 1)] == none -> 1 : 2), 0 }
	od
}
#endif

#ifdef PERSON
/* Somebody asks for the event again: first the run is made, then its message. */
active proctype person() {
	atomic { over(0) -> latest = 1 };
	if
	:: retries ! ATTEMPT, 3, 1, 1, 0
	:: unmade++; printf("who asked for a retry dies before its message is sent\n")
	fi
}
#define accounted (put && over(0) && over(1))
#else
#define accounted (put && over(0))
#endif

init {
	atomic {
		events ! EVENT, 1, 0, 1, 0;
#ifndef PERSON
		events ! EVENT, 2, 0, 1, 0;                      /* the provider repeats its call */
#endif
#ifdef NO_RULE_7
		events ! GARBAGE, 0, 0, 1, 0
#endif
	}
}

/* What was accepted is accounted for: when nothing is left to do, each run has
 * ended; and it comes to that in the end (ltl). */
active proctype rest() { accounted }
ltl live { <> accounted }
