//! A retry is not a second message.

use crate::{Deployment, Resume, WAIT};
use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use super::participant::group;

pub async fn the_same_client_msg_id_is_one_message(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let ann = &users[0];
    let at_ann = deployment.connect(ann, 0, Resume::None).await?;
    let also_ann = deployment.connect(ann, 1, Resume::None).await?;
    let at_bob = deployment.connect(&users[1], 1, Resume::None).await?;

    let first = at_ann.send_and_ack(&conversation, "same", "hello", WAIT).await?;
    let second = also_ann.send_and_ack(&conversation, "same", "hello", WAIT).await?;
    ensure!(first["seq"] == 1 && first["messageId"] == second["messageId"], "{first} {second}");
    let (status, third) = ann.api.send(&conversation, "same", "hello").await?;
    ensure!(status == 200 && third["messageId"] == first["messageId"], "{status} {third}");
    let (status, other) = ann.api.send(&conversation, "same", "something else").await?;
    ensure!(status == 409 && other["code"] == "client_msg_id_reused", "{status} {other}");
    // another sender may use the same words
    let (status, bobs) = users[1].api.send(&conversation, "same", "hello").await?;
    ensure!(status == 201 && bobs["seq"] == 2, "{status} {bobs}");

    // all at once, over REST and both gateways
    for round in 0..10 {
        let id = format!("race-{round}");
        let over_rest = try_join_all((0..4).map(|_| ann.api.send(&conversation, &id, "hello")));
        let over_first = at_ann.send_and_ack(&conversation, &id, "hello", WAIT);
        let over_second = also_ann.send_and_ack(&conversation, &id, "hello", WAIT);
        let (rest, one, two) = tokio::try_join!(over_rest, over_first, over_second)?;
        ensure!(one["messageId"] == two["messageId"] && one["seq"] == two["seq"], "{one} {two}");
        for (status, answer) in &rest {
            ensure!(*status < 300 && answer["messageId"] == one["messageId"], "{status} {answer}");
        }
        ensure!(rest.iter().filter(|(status, _)| *status == 201).count() <= 1, "created more than once: {rest:?}");
    }
    at_bob.wait_for(|frame| frame["type"] == "MESSAGE" && frame["seq"] == 12, WAIT).await?;
    ensure!(at_bob.seqs_of(&conversation) == (1..=12).collect::<Vec<u64>>(), "{:?}", at_bob.seqs_of(&conversation));
    let (_, log) = ann.api.events(&conversation, 0, 100).await?;
    ensure!(log["events"].as_array().map(Vec::len) == Some(12), "{log}");
    Ok(())
}
