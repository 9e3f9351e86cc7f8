//! The tour: tries what the demo shows, says what happened, and checks it.
//!
//! Must hold: every step is checked; one that differs does not keep the others from being tried.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portway_core::Clock;

use super::client::{Reply, ask};
use super::config::{GREETING, Ports, TOKEN};

/// How long something that happens by itself may take: a reload, a breaker that closes.
const SOON: Duration = Duration::from_secs(10);
/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a step found: in words, as told or not.
type Found = Result<String, String>;

/// Tries everything. Whether all was as told.
pub fn tour(ports: &Ports, file: &Path) -> bool {
    let tour = Tour {
        ports: *ports,
        file: file.to_owned(),
        clock: Clock::system(),
    };
    let steps: [Step; 11] = [
        ("two instances share requests 3:1", Tour::shares),
        (
            "a request without a token is refused",
            Tour::refuses_without_token,
        ),
        ("a request with a token passes", Tour::passes_with_token),
        ("a limit of three at once holds", Tour::limits),
        ("a slow service is waited for", Tour::waits),
        ("one that is too slow is not", Tour::gives_up),
        ("the breaker opens after three failures", Tour::opens),
        ("and closes when the service is well again", Tour::closes),
        ("a changed config is loaded", Tour::reloads),
        ("a broken config is refused", Tour::refuses_broken_config),
        ("operators see all of it", Tour::shows),
    ];
    println!(
        "Portway demo tour: gateway on http://127.0.0.1:{}, config {}\n",
        ports.gateway,
        file.display()
    );
    let mut differ = 0;
    for (what, step) in steps {
        match step(&tour) {
            Ok(found) => println!("as told   {what}: {found}"),
            Err(found) => {
                differ += 1;
                println!("DIFFERS   {what}: {found}");
            }
        }
    }
    println!(
        "\n{} of {} steps were as told",
        steps.len() - differ,
        steps.len()
    );
    differ == 0
}

struct Tour {
    ports: Ports,
    file: PathBuf,
    clock: Clock,
}

/// What is tried, and how.
type Step = (&'static str, fn(&Tour) -> Found);

impl Tour {
    fn shares(&self) -> Found {
        // Each worker counts for itself, so a few requests more or less are no surprise.
        const ASKED: u32 = 400;
        const SLACK: u32 = 20;
        let mut first = 0;
        for _ in 0..ASKED {
            let reply = self.get("/users")?;
            expect(reply.status == 200, &reply)?;
            first += u32::from(reply.body.contains("first"));
        }
        let second = ASKED - first;
        check(
            first.abs_diff(ASKED * 3 / 4) <= SLACK,
            format!("of {ASKED} requests, {first} went to the first and {second} to the second"),
        )
    }

    fn refuses_without_token(&self) -> Found {
        let reply = self.get("/account")?;
        expect(reply.status == 401, &reply)?;
        let asks = reply.field("www-authenticate").is_some();
        check(asks, format!("{}, {}", reply.status, code(&reply)))
    }

    fn passes_with_token(&self) -> Found {
        let token = format!("Bearer {TOKEN}");
        let reply = ask(
            "GET",
            self.ports.gateway,
            "/account",
            &[("Authorization", &token)],
        );
        let reply = reply.map_err(|e| e.to_string())?;
        check(reply.status == 200, format!("{}", reply.status))
    }

    fn limits(&self) -> Found {
        let statuses: Vec<u16> = (0..4)
            .map(|_| self.get("/limited").map(|r| r.status))
            .collect::<Result<_, _>>()?;
        let reply = self.get("/limited")?;
        let wait = reply.field("retry-after").unwrap_or("never");
        let found = format!(
            "{statuses:?}, and a fifth: {}, retry after {wait} s",
            reply.status
        );
        check(
            statuses == [200, 200, 200, 429] && reply.status == 429 && wait != "never",
            found,
        )
    }

    fn waits(&self) -> Found {
        let started = self.clock.now();
        let reply = self.get("/slow")?;
        let took = self.clock.now().since(started);
        let found = format!("{} after {} ms", reply.status, took.as_millis());
        check(
            reply.status == 200 && took >= Duration::from_millis(450),
            found,
        )
    }

    fn gives_up(&self) -> Found {
        let started = self.clock.now();
        let reply = self.get("/slow?ms=5000")?;
        let took = self.clock.now().since(started);
        let in_time = took >= Duration::from_millis(1900) && took < Duration::from_millis(4000);
        let found = format!(
            "{} {} after {} ms",
            reply.status,
            code(&reply),
            took.as_millis()
        );
        check(reply.status == 504 && in_time, found)
    }

    fn opens(&self) -> Found {
        self.tell_flaky("/fail")?;
        let failures: Vec<u16> = (0..3)
            .map(|_| self.get("/flaky").map(|r| r.status))
            .collect::<Result<_, _>>()?;
        let refused = self.get("/flaky")?;
        let metric = self.metric("portway_circuit_breaker_state{upstream=\"flaky\"}")?;
        let found = format!(
            "{failures:?} from the service, then {} {}; the metric says {metric}",
            refused.status,
            code(&refused)
        );
        let open = refused.status == 503 && code(&refused) == "circuit_open";
        check(failures == [500, 500, 500] && open && metric == "1", found)
    }

    fn closes(&self) -> Found {
        self.tell_flaky("/heal")?;
        let started = self.clock.now();
        self.until(|| self.get("/flaky").is_ok_and(|reply| reply.status == 200))?;
        let took = self.clock.now().since(started);
        // The breaker asks for several good ones before it is closed.
        self.until(|| {
            let good = self.get("/flaky").is_ok_and(|reply| reply.status == 200);
            good && self
                .metric("portway_circuit_breaker_state{upstream=\"flaky\"}")
                .is_ok_and(|state| state == "0")
        })?;
        check(
            took < Duration::from_secs(5),
            format!("200 again after {} ms, and closed", took.as_millis()),
        )
    }

    fn reloads(&self) -> Found {
        let before = self.get("/greeting")?.body;
        let text = std::fs::read_to_string(&self.file).map_err(|e| e.to_string())?;
        let text = text.replace(&format!("\"{GREETING}\""), "\"good morning\"");
        // As editors do: a new file takes the name of the old one.
        let aside = self.file.with_extension("new");
        std::fs::write(&aside, text)
            .and_then(|()| std::fs::rename(&aside, &self.file))
            .map_err(|e| e.to_string())?;
        let started = self.clock.now();
        let mut asked = 0;
        self.until(|| {
            asked += 1;
            self.get("/greeting")
                .is_ok_and(|reply| reply.body == "good morning")
        })?;
        let took = self.clock.now().since(started).as_millis();
        check(
            before == GREETING,
            format!("`{before}` became `good morning` in {took} ms, {asked} requests meanwhile"),
        )
    }

    fn refuses_broken_config(&self) -> Found {
        let good = std::fs::read_to_string(&self.file).map_err(|e| e.to_string())?;
        let broken = format!("{good}\nrouts: []\n");
        std::fs::write(&self.file, broken).map_err(|e| e.to_string())?;
        let mut status = String::new();
        let refused = self.until(|| {
            status = self
                .operators("/config/status")
                .map_or_else(|e| e, |reply| reply.body);
            status.contains("\"failed\"")
        });
        let serves = self.get("/greeting").map(|reply| reply.status);
        std::fs::write(&self.file, good).map_err(|e| e.to_string())?;
        refused.map_err(|why| format!("{why}: {status}"))?;
        let status: serde_json::Value = serde_json::from_str(&status).map_err(|e| e.to_string())?;
        let found = &status["diagnostics"][0];
        let word = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        let told = format!("line {}: {}; {}", found["line"], word("what"), word("hint"));
        self.until(|| {
            self.operators("/config/status")
                .is_ok_and(|reply| reply.body.contains("\"ok\""))
        })?;
        check(
            serves == Ok(200) && told.contains("routes"),
            format!("{told}; the old one served on, the good one is back"),
        )
    }

    fn shows(&self) -> Found {
        let explained = self.operators("/explain?path=/users/7")?;
        expect(
            explained.status == 200 && explained.body.contains("\"won\""),
            &explained,
        )?;
        let upstreams = self.operators("/upstreams")?;
        expect(
            upstreams.status == 200 && upstreams.body.contains("\"healthy\""),
            &upstreams,
        )?;
        let refused = self.metric("portway_rate_limit_hits_total{route=\"limited\"}")?;
        check(
            refused == "2",
            format!(
                "/explain, /upstreams and /metrics answer; {refused} requests were over the limit"
            ),
        )
    }

    fn get(&self, target: &str) -> Result<Reply, String> {
        ask("GET", self.ports.gateway, target, &[]).map_err(|e| format!("{target}: {e}"))
    }

    fn operators(&self, target: &str) -> Result<Reply, String> {
        ask("GET", self.ports.admin, target, &[]).map_err(|e| format!("{target}: {e}"))
    }

    fn tell_flaky(&self, target: &str) -> Result<(), String> {
        let reply = ask("POST", self.ports.flaky, target, &[]).map_err(|e| e.to_string())?;
        expect(reply.status == 200, &reply)
    }

    fn metric(&self, series: &str) -> Result<String, String> {
        let reply = self.operators("/metrics")?;
        let line = reply
            .body
            .lines()
            .find_map(|line| line.strip_prefix(series));
        line.map(|value| value.trim().to_owned())
            .ok_or_else(|| format!("no {series} in /metrics"))
    }

    fn until(&self, mut holds: impl FnMut() -> bool) -> Result<(), String> {
        let deadline = self.clock.now() + SOON;
        while !holds() {
            if self.clock.now() >= deadline {
                return Err(format!("not within {SOON:?}"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

fn check(as_told: bool, found: String) -> Found {
    if as_told { Ok(found) } else { Err(found) }
}

fn expect(holds: bool, reply: &Reply) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(format!("got {}: {}", reply.status, reply.body.trim()))
    }
}

/// Why the gateway answered by itself.
fn code(reply: &Reply) -> String {
    let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap_or_default();
    problem["code"]
        .as_str()
        .unwrap_or("without a code")
        .to_owned()
}
