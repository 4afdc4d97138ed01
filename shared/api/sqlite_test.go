package api

import "testing"

// The tests that lean on what a store does, once more on the one that a single
// machine runs on.
func TestOnSQLite(t *testing.T) {
	onSQLite = true
	defer func() { onSQLite = false }()
	for name, test := range map[string]func(*testing.T){
		"create":                  TestCreateAnswersAsTheSeedShows,
		"every field":             TestCreateTakesEveryField,
		"counters":                TestCountersAreShown,
		"patch":                   TestPatchChangesWhatIsGiven,
		"disable":                 TestDisableAndActivate,
		"delete":                  TestDeleteKeepsTheEndpointReadable,
		"endpoint limit":          TestTheLimitCountsLiveEndpoints,
		"pages":                   TestListsArePagedNewestFirst,
		"rotate":                  TestRotateKeepsTheOldSecretForTheOverlap,
		"concurrent patches":      TestConcurrentPatchesBothCount,
		"rivya source":            TestARivyaSourceIsMadeBeforeItsSecretIsKnown,
		"sivi source":             TestASiviSourceHasATokenInItsURL,
		"sources":                 TestSourcesAreChangedAndDeleted,
		"publish":                 TestPublishPutsTheEventOnTheQueue,
		"idempotency":             TestAnIdempotencyKeyStandsForOneEvent,
		"idempotency everywhere":  TestEveryCallThatMakesSomethingTakesAnIdempotencyKey,
		"at once":                 TestTheSameCallManyTimesAtOnceMakesOneThing,
		"test events":             TestATestGoesToOneEndpointInItsFormat,
		"event detail":            TestAnEventInDetail,
		"confirmation":            TestAConfirmedAndARefusedEvent,
		"event filters":           TestEventsAreFiltered,
		"attempts":                TestAttemptsAreShownAsTheyAreOnRecord,
		"retry":                   TestARetryIsANewRunNow,
		"retry of what is gone":   TestARetryOfAnEventThatIsGone,
		"retry and repair":        TestARetryThatCouldNotBeQueuedIsFoundByTheRepairWalk,
		"stats":                   TestStatsShowWhatHappenedLately,
		"what waits":              TestStatsCountWhatWaits,
		"portal":                  TestAPortalLinkOpensTheConsoleForAWhile,
		"refusals":                TestRefusalsOfASourceAreListedByReasonAndHour,
		"replay":                  TestAReplayIsStartedShownAndCancelled,
		"dry run":                 TestADryRunCountsAndDoesNothing,
		"keys":                    TestAKeyIsShownOnce,
		"last key":                TestTheLastKeyThatManagesKeysStays,
		"expect":                  TestExpectRegistersAndAsksLater,
		"update-webhook":          TestUpdateWebhookMakesOneEndpointForAKey,
		"takeover":                TestUpdateWebhookTakesOverFromARevokedKey,
		"update-webhook, at once": TestConcurrentUpdateWebhookCallsMakeOneEndpoint,
		"tenants":                 TestAForeignIDIsAnsweredAsAnUnknownOne,
		"cursors":                 TestACursorIsGoodForItsListAlone,
	} {
		t.Run(name, test)
	}
}
