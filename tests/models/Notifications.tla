--------------------------- MODULE Notifications ---------------------------
(* An outstanding notification: who tells the workers that there is something to fold.                          *)
(*                                                                                                              *)
(* Each action is one call that reaches the log, the views or the carrier, and is named after the function that *)
(* makes it (see README.md). Whoever wants to know what the protocol is reads Append, Withdraw, Pull and Commit. *)
EXTENDS Naturals, FiniteSets

CONSTANTS
    Appenders,    \* who appends, each one event at a time
    Appends,      \* how many events each of them appends
    Workers,      \* who answers deliveries
    Projections,  \* who has to fold every event
    Stopped,      \* those of them that fail at every event
    Page,         \* events that are folded at once
    Hurried,      \* whether a delivery has time for one page only
    Apart,        \* whether log and views are two stores, so that to lower the flag is a step of its own
    Reader,       \* whether somebody brings single views up, by reading them
    Faults,       \* how many things may go wrong
    Heals,        \* whether somebody appends once more when all is quiet and the flag is down or has expired
    Wrong,        \* what is wrong with the protocol; "nothing" if it is as it should be
    Tells         \* whether the action that was last is remembered, for traces

VARIABLES
    head,      \* the log's last position
    cp,        \* the checkpoint of each projection
    flag,      \* the outstanding notification: its position, 0 for none, and whether it has expired
    app,       \* what each appender is about to do
    work,      \* what each worker is about to do
    queue,     \* messages that the carrier keeps until they are answered with 200
    sent,      \* all messages that it ever took
    faults,    \* how much may still go wrong
    refused,   \* whether a publish was refused: what was appended then waits for the next append
    mute,      \* whether the flag may have to expire: its appender died, its message was given up, it could not be lowered
    open,      \* whether what was raised last is still to be met: not folded, not withdrawn, not expired
    wasted,    \* whether a message was owed while another was to be met
    healed,    \* whether somebody has appended once more
    act        \* the action that was last

vars == <<head, cp, flag, app, work, queue, sent, faults, refused, mute, open, wasted, healed, act>>

None == [pos |-> 0, lost |-> FALSE]
Min(S) == CHOOSE x \in S : \A y \in S : x <= y
Max(S) == CHOOSE x \in S : \A y \in S : x >= y
Idle(left) == [pc |-> "idle", pos |-> 0, again |-> FALSE, left |-> left]
NoMessage == [pos |-> 0, at |-> 0]
Free == [pc |-> "idle", msg |-> NoMessage, active |-> {}, after |-> 0, here |-> {}, head |-> 0, rear |-> TRUE,
         others |-> FALSE, ended |-> FALSE]
Told(name, who, what) == act' = IF Tells THEN <<name, who, what>> ELSE <<>>

Able == Projections \ Stopped
Behind == \E p \in Able : cp[p] < head

Init ==
    /\ head = 0 /\ cp = [p \in Projections |-> 0] /\ flag = None
    /\ app = [a \in Appenders |-> Idle(Appends)] /\ work = [w \in Workers |-> Free]
    /\ queue = {} /\ sent = {} /\ faults = Faults
    /\ refused = FALSE /\ mute = FALSE /\ open = FALSE /\ wasted = FALSE /\ healed = FALSE
    /\ act = IF Tells THEN <<"Init", "", "">> ELSE <<>>

(* ------------------------------------------------ the appender ---------------------------------------------- *)

Expired == flag.lost /\ Wrong # "it never expires"
Owed == flag.pos = 0 \/ Expired

\* The append's script: events, and in the same step whether a notification is owed.
Written(owes) ==
    /\ head' = head + 1
    /\ flag' = IF owes THEN [pos |-> head + 1, lost |-> FALSE] ELSE flag
    /\ open' = (open \/ owes)
    /\ wasted' = (wasted \/ (owes /\ open))

LooksFirst == Wrong = "the flag is looked at before the append"

Look(a) ==
    /\ LooksFirst /\ app[a].pc = "idle" /\ app[a].left > 0
    /\ app' = [app EXCEPT ![a].pc = "looked", ![a].again = Owed]
    /\ Told("Look", a, "")
    /\ UNCHANGED <<head, cp, flag, work, queue, sent, faults, refused, mute, open, wasted, healed>>

Append(a) ==
    /\ app[a].pc = (IF LooksFirst THEN "looked" ELSE "idle") /\ app[a].left > 0
    /\ LET owes == IF LooksFirst THEN app[a].again ELSE Owed IN
       /\ Written(owes)
       /\ app' = [app EXCEPT ![a] = IF owes THEN [@ EXCEPT !.pc = "publish", !.pos = head + 1, !.again = FALSE]
                                            ELSE Idle(@.left - 1)]
       /\ Told("Append", a, IF owes THEN "owes" ELSE "")
    /\ UNCHANGED <<cp, work, queue, sent, faults, refused, mute, healed>>

\* It is written, and the appender does not get to know.
AppendUnknown(a) ==
    /\ faults > 0 /\ ~LooksFirst /\ app[a].pc = "idle" /\ app[a].left > 0
    /\ Written(Owed)
    /\ app' = [app EXCEPT ![a].pc = "unknown", ![a].pos = head + 1]
    /\ faults' = faults - 1
    /\ Told("AppendUnknown", a, "")
    /\ UNCHANGED <<cp, work, queue, sent, refused, mute, healed>>

\* The same append once more, under its key: it is there already, and owes what the first one would have owed.
Repeat(a) ==
    /\ app[a].pc = "unknown"
    /\ LET owes == flag.pos = app[a].pos /\ Wrong # "an append owes once only" IN
       /\ app' = [app EXCEPT ![a] = IF owes THEN [@ EXCEPT !.pc = "publish", !.again = TRUE] ELSE Idle(@.left - 1)]
       /\ Told("Repeat", a, IF owes THEN "owes" ELSE "")
    /\ UNCHANGED <<head, cp, flag, work, queue, sent, faults, refused, mute, open, wasted, healed>>

\* Each message has a name of its own; the carrier drops a second one of the same name, also when it has delivered it.
Message(pos) == [pos |-> pos, at |-> Cardinality({m \in sent : m.pos = pos})]
Sent(pos) ==
    IF Wrong = "a message is named by its position alone" /\ \E m \in sent : m.pos = pos
    THEN UNCHANGED <<queue, sent>>
    ELSE queue' = queue \union {Message(pos)} /\ sent' = sent \union {Message(pos)}

Publish(a) ==
    /\ app[a].pc = "publish"
    /\ Sent(app[a].pos)
    /\ app' = [app EXCEPT ![a] = Idle(@.left - 1)]
    /\ Told("Publish", a, "")
    /\ UNCHANGED <<head, cp, flag, work, faults, refused, mute, open, wasted, healed>>

PublishUnknown(a) ==
    /\ faults > 0 /\ app[a].pc = "publish"
    /\ Sent(app[a].pos)
    /\ app' = [app EXCEPT ![a].pc = "withdraw"]
    /\ faults' = faults - 1
    /\ Told("PublishUnknown", a, "")
    /\ UNCHANGED <<head, cp, flag, work, refused, mute, open, wasted, healed>>

PublishRefused(a) ==
    /\ faults > 0 /\ app[a].pc = "publish"
    /\ app' = [app EXCEPT ![a].pc = "withdraw"]
    /\ faults' = faults - 1 /\ refused' = TRUE
    /\ Told("PublishRefused", a, "")
    /\ UNCHANGED <<head, cp, flag, work, queue, sent, mute, open, wasted, healed>>

Lowers(a) ==
    CASE Wrong = "a publish that failed is not withdrawn" -> FALSE
      [] Wrong = "whatever is outstanding is withdrawn" -> TRUE
      [] Wrong = "it is withdrawn by the moment" -> flag.pos = app[a].pos /\ ~app[a].again
      [] OTHER -> flag.pos = app[a].pos

Withdraw(a) ==
    /\ app[a].pc = "withdraw"
    /\ flag' = IF Lowers(a) THEN None ELSE flag
    /\ open' = (open /\ flag.pos # app[a].pos)
    /\ app' = [app EXCEPT ![a] = Idle(@.left - 1)]
    /\ Told("Withdraw", a, "")
    /\ UNCHANGED <<head, cp, work, queue, sent, faults, refused, mute, wasted, healed>>

WithdrawRefused(a) ==
    /\ faults > 0 /\ app[a].pc = "withdraw"
    /\ app' = [app EXCEPT ![a] = Idle(@.left - 1)]
    /\ faults' = faults - 1 /\ mute' = TRUE
    /\ Told("WithdrawRefused", a, "")
    /\ UNCHANGED <<head, cp, flag, work, queue, sent, refused, open, wasted, healed>>

AppenderDies(a) ==
    /\ faults > 0 /\ app[a].pc \in {"unknown", "publish", "withdraw"}
    /\ app' = [app EXCEPT ![a].pc = "dead"]
    /\ faults' = faults - 1 /\ mute' = TRUE
    /\ Told("AppenderDies", a, "")
    /\ UNCHANGED <<head, cp, flag, work, queue, sent, refused, open, wasted, healed>>

(* ------------------------------------------------- the worker ----------------------------------------------- *)

Begun(w, m) == work' = [work EXCEPT ![w] = [Free EXCEPT !.pc = "pull", !.msg = m, !.active = Projections]]

\* A message stays with the carrier while it is delivered: it can be delivered again, to another worker too.
Deliver(w, m) ==
    /\ work[w].pc = "idle" /\ m \in queue
    /\ Begun(w, m)
    /\ queue' = IF Wrong = "a message is answered before it is folded" THEN queue \ {m} ELSE queue
    /\ Told("Deliver", w, m)
    /\ UNCHANGED <<head, cp, flag, app, sent, faults, refused, mute, open, wasted, healed>>

DeliverAgain(w, m) ==
    /\ faults > 0 /\ work[w].pc = "idle" /\ m \in sent \ queue
    /\ Begun(w, m)
    /\ faults' = faults - 1
    /\ Told("DeliverAgain", w, m)
    /\ UNCHANGED <<head, cp, flag, app, queue, sent, refused, mute, open, wasted, healed>>

\* It answers 200, or not. A message that is never answered with 200 is given up after a few tries.
Answer(w, ok) ==
    queue' = IF ok \/ Stopped # {} THEN queue \ {work[w].msg} ELSE queue

Everybody(active) == IF Wrong = "a stopped projection holds it" THEN Projections ELSE active
Met(active, checkpoints) ==
    IF Wrong = "any one at the head lowers it"
    THEN \E p \in active : checkpoints[p] >= head
    ELSE \A p \in Everybody(active) : checkpoints[p] >= head

\* What a pull answers, given how far everybody is: the next page, or that the head is met, which lowers the flag.
\* `seen` is the head as it is told.
Pulled(w, active, checkpoints, seen, ended) ==
    LET rear == ~work[w].rear
        behind == {checkpoints[p] : p \in {q \in active : checkpoints[q] < seen}}
        after == IF rear THEN Min(behind) ELSE Max(behind)
        met == active # {} /\ Met(active, checkpoints)
        early == Wrong = "it is lowered whatever the head is" /\ behind = {} /\ active # {}
        first == Wrong = "it is lowered when the work begins" /\ work[w].pc = "pull"
        complete == \A p \in active : checkpoints[p] >= seen
        content == Wrong = "content with the position in the message"
                   /\ \A p \in active : checkpoints[p] >= work[w].msg.pos
        settles == Apart /\ behind = {} /\ active # {}
    IN  /\ flag' = IF ~settles /\ (met \/ early \/ first) THEN None ELSE flag
        /\ open' = (open /\ \E p \in Able : checkpoints[p] < head)
        /\ IF settles
           THEN /\ work' = [work EXCEPT ![w].pc = "settle", ![w].active = active, ![w].head = seen, ![w].ended = ended]
                /\ UNCHANGED queue
           ELSE IF behind = {} \/ content
           THEN /\ work' = [work EXCEPT ![w] = Free]
                /\ Answer(w, active = Projections)
           ELSE IF ended
           THEN /\ IF Wrong = "the rest is forgotten when time is up"
                   THEN work' = [work EXCEPT ![w] = Free] /\ Answer(w, TRUE)
                   ELSE work' = [work EXCEPT ![w].pc = "notify", ![w].head = seen] /\ UNCHANGED queue
           ELSE /\ work' = [work EXCEPT ![w].pc = "commit", ![w].active = active, ![w].after = after,
                                        ![w].here = {p \in active : checkpoints[p] = after},
                                        ![w].head = seen, ![w].rear = rear,
                                        ![w].others = Cardinality(behind) > 1]
                /\ UNCHANGED queue

Pull(w) ==
    /\ work[w].pc = "pull"
    /\ Pulled(w, work[w].active, cp, head, FALSE)
    /\ Told("Pull", w, "")
    /\ UNCHANGED <<head, cp, app, sent, faults, refused, mute, wasted, healed>>

\* Compares each checkpoint with the one that was read, moves those that are as they were, and pulls in the same step.
Commit(w) ==
    /\ work[w].pc = "commit"
    /\ LET upto == Min({work[w].after + Page, work[w].head})
           moved == [p \in Projections |->
                        IF p \in work[w].here /\ p \notin Stopped /\ cp[p] = work[w].after THEN upto ELSE cp[p]]
           active == work[w].active \ (work[w].here \cap Stopped)
           \* where somebody else was behind, and is next, he gets a page too
           more == ~work[w].rear /\ work[w].others
           ended == Hurried /\ ~more
           seen == IF Wrong = "the commit does not answer the head"
                      \/ (Wrong = "out of time, it goes by the head of before" /\ ended)
                      \/ (Wrong = "it is lowered whatever the head is")
                   THEN work[w].head ELSE head
       IN  /\ cp' = moved
           /\ Pulled(w, active, moved, seen, ended)
    /\ Told("Commit", w, "")
    /\ UNCHANGED <<head, app, sent, faults, refused, mute, wasted, healed>>

\* Log and views are two stores: lowered only where the head is still what it was.
Settle(w) ==
    /\ work[w].pc = "settle"
    /\ IF work[w].head = head \/ Wrong = "it is lowered without comparing"
       THEN /\ flag' = None
            /\ work' = [work EXCEPT ![w] = Free]
            /\ Answer(w, work[w].active = Projections)
       ELSE /\ work' = [work EXCEPT ![w].pc = IF work[w].ended THEN "notify" ELSE "pull", ![w].head = head]
            /\ UNCHANGED <<flag, queue>>
    /\ Told("Settle", w, "")
    /\ UNCHANGED <<head, cp, app, sent, faults, refused, mute, open, wasted, healed>>

\* Out of time: the rest is handed to another delivery, under a name of its own, and this one counts.
Notify(w) ==
    /\ work[w].pc = "notify"
    /\ LET pos == Max({work[w].msg.pos, work[w].head})
           dropped == Wrong = "a message is named by its position alone" /\ \E m \in sent : m.pos = pos
           rest == queue \ (IF work[w].active = Projections THEN {work[w].msg} ELSE {})
       IN  /\ queue' = (IF dropped THEN rest ELSE rest \union {Message(pos)})
           /\ sent' = (IF dropped THEN sent ELSE sent \union {Message(pos)})
    /\ work' = [work EXCEPT ![w] = Free]
    /\ Told("Notify", w, "")
    /\ UNCHANGED <<head, cp, flag, app, faults, refused, mute, open, wasted, healed>>

\* It is killed, or a call of it fails, and it answers 500.
WorkerFails(w) ==
    /\ faults > 0 /\ work[w].pc # "idle"
    /\ work' = [work EXCEPT ![w] = Free]
    /\ faults' = faults - 1
    /\ Told("WorkerFails", w, "")
    /\ UNCHANGED <<head, cp, flag, app, queue, sent, refused, mute, open, wasted, healed>>

(* --------------------------------------------------- the rest ----------------------------------------------- *)

\* After the last try.
GiveUp(m) ==
    /\ faults > 0 /\ m \in queue
    /\ queue' = queue \ {m}
    /\ faults' = faults - 1 /\ mute' = TRUE
    /\ Told("GiveUp", "", m)
    /\ UNCHANGED <<head, cp, flag, app, work, sent, refused, open, wasted, healed>>

Expire ==
    /\ flag.pos > 0 /\ ~flag.lost
    /\ flag' = [flag EXCEPT !.lost = TRUE]
    /\ open' = FALSE
    /\ Told("Expire", "", "")
    /\ UNCHANGED <<head, cp, app, work, queue, sent, faults, refused, mute, wasted, healed>>

\* `view.get(at_least=...)`: one view, no settling.
Read(p) ==
    /\ Reader /\ p \in Able /\ cp[p] < head
    /\ cp' = [cp EXCEPT ![p] = head]
    /\ open' = (open /\ \E q \in Able : cp'[q] < head)
    /\ flag' = IF Wrong = "any one at the head lowers it" THEN None ELSE flag
    /\ Told("Read", p, "")
    /\ UNCHANGED <<head, app, work, queue, sent, faults, refused, mute, wasted, healed>>

Quiet ==
    /\ \A a \in Appenders : app[a].pc = "dead" \/ (app[a].pc = "idle" /\ app[a].left = 0)
    /\ \A w \in Workers : work[w].pc = "idle"
    /\ queue = {}

\* When all is quiet, somebody appends once more, and nothing goes wrong with that.
Heal ==
    /\ Heals /\ ~healed /\ Quiet /\ Owed
    /\ Written(TRUE)
    /\ Sent(head + 1)
    /\ healed' = TRUE /\ faults' = 0
    /\ Told("Heal", "", "")
    /\ UNCHANGED <<cp, app, work, refused, mute>>

Next ==
    \/ \E a \in Appenders :
          \/ Look(a) \/ Append(a) \/ AppendUnknown(a) \/ Repeat(a) \/ Publish(a) \/ PublishUnknown(a)
          \/ PublishRefused(a) \/ Withdraw(a) \/ WithdrawRefused(a) \/ AppenderDies(a)
    \/ \E w \in Workers :
          \/ Pull(w) \/ Commit(w) \/ Settle(w) \/ Notify(w) \/ WorkerFails(w)
          \/ \E m \in sent : Deliver(w, m) \/ DeliverAgain(w, m)
    \/ \E m \in sent : GiveUp(m)
    \/ \E p \in Projections : Read(p)
    \/ Expire
    \/ Heal

\* What does not fail goes on. Nothing is said of what goes wrong, nor of readers.
Fair ==
    /\ \A a \in Appenders : WF_vars(Look(a) \/ Append(a) \/ Repeat(a) \/ Publish(a) \/ Withdraw(a))
    /\ \A w \in Workers : WF_vars(Pull(w) \/ Commit(w) \/ Settle(w) \/ Notify(w) \/ \E m \in queue : Deliver(w, m))
    /\ WF_vars(Expire)
    /\ WF_vars(Heal)

Spec == Init /\ [][Next]_vars /\ Fair

(* ------------------------------------------------ what has to be -------------------------------------------- *)

\* Nothing is left unfolded without a message outstanding, or a worker or an appender on the way, where nothing was
\* refused, given up or killed before it could tell.
NotForgotten == Quiet /\ Behind => refused \/ mute

\* Whenever all is quiet the next append tells somebody; where the flag may have to expire for that, once it has.
NotSilenced == Quiet /\ flag.pos > 0 /\ ~flag.lost => mute

\* A message is owed only when no other one is on the way.
Thrifty == ~wasted

\* In the end everything is folded for good; where something was refused, given up or killed: once somebody appends again.
Folded == <>[](~Behind \/ (~Heals /\ (refused \/ mute)))
=============================================================================
