use super::*;

fn target(host: &str, port: u16, weight: u32) -> NamedTarget {
    NamedTarget {
        host: host.into(),
        port,
        weight,
    }
}

fn refresh(targets: &[NamedTarget], min: Duration, max: Duration) -> Refresh {
    let question = Question::Hosts(targets.to_vec());
    Refresh::new(question, Lookup::new(None), min, max)
}

/// How long until the next question, as planned.
#[allow(clippy::disallowed_methods)] // tokio's own paused clock
fn planned(refresh: &Refresh) -> Option<Duration> {
    match &refresh.wait {
        Wait::Over => Some(Duration::ZERO),
        Wait::Until(sleep) => Some(sleep.deadline() - tokio::time::Instant::now()),
        Wait::Forever => None,
    }
}

const S: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_ttl_counts_between_floor_and_ceiling() {
    let mut refresh = refresh(&[], S, 300 * S);
    for (ttl, wait) in [(0, 1), (1, 1), (60, 60), (300, 300), (86_400, 300)] {
        refresh.plan_next(Some(ttl * S), true);
        assert_eq!(planned(&refresh), Some(wait * S));
    }
}

#[test]
fn failures_wait_longer_and_longer_and_never_alike() {
    let waits: Vec<u64> = (0..8).map(|n| back_off(S, n, 0.5).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(back_off(S, 3, 0.0), Duration::from_millis(6400));
    assert_eq!(back_off(S, 3, 1.0), Duration::from_millis(9600));
    assert!(back_off(60 * S, u32::MAX, 0.5) == 60 * S);
}

#[tokio::test(start_paused = true)]
async fn success_forgets_failures() {
    let mut refresh = refresh(&[], S, 300 * S);
    (0..5).for_each(|_| refresh.plan_next(None, false));
    refresh.plan_next(Some(5 * S), true);
    refresh.plan_next(None, false);
    assert!(planned(&refresh).expect("there is one") < 2 * S);
}

#[tokio::test(start_paused = true)]
async fn addresses_need_no_second_look() {
    let targets = [target("127.0.0.1", 80, 3), target("::1", 81, 1)];
    let mut refresh = refresh(&targets, S, S);
    let mut sets = Sets::default();
    let set = refresh.next_set(&mut sets).await.expect("needs no lookup");
    assert_eq!(set.generation, 1);
    let found: Vec<_> = set.targets.iter().map(|t| t.addr.to_string()).collect();
    assert_eq!(found, ["127.0.0.1:80", "[::1]:81"]);
    assert!(set.targets.iter().all(|t| t.host.is_none()));
    assert_eq!(planned(&refresh), None);
}

#[tokio::test(start_paused = true)]
async fn one_address_twice_is_one_target_of_both_weights() {
    let targets = [target("127.0.0.1", 80, 3), target("127.0.0.1", 80, 2)];
    let found = refresh(&targets, S, S).next().await.expect("no lookup");
    assert_eq!((found.len(), found[0].weight), (1, 5));
}

#[test]
fn addresses_in_a_list_are_known_at_once_and_names_are_not() {
    let named = vec![target("127.0.0.1", 80, 3), target("a.example", 80, 1)];
    let known = crate::SourceSpec::Static(named).known_targets();
    let found: Vec<_> = known.targets.iter().map(|t| t.addr.to_string()).collect();
    assert_eq!(found, ["127.0.0.1:80"]);
}

/// Each is asked as soon as the first is: the second here would never be ready if it had to wait.
#[tokio::test]
async fn futures_go_on_side_by_side_and_answer_in_order() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let first: BoxFuture<'_, _> = Box::pin(async { told.await.expect("is told") });
    let second: BoxFuture<'_, _> = Box::pin(async {
        tell.send(1).expect("is heard");
        2
    });
    assert_eq!(all(vec![first, second]).await, [1, 2]);
}

#[test]
fn a_set_is_offered_once() {
    let mut sets = Sets::default();
    assert_eq!(sets.offer(Vec::new()).map(|s| s.generation), Some(1));
    assert_eq!(sets.offer(Vec::new()), None);
}
