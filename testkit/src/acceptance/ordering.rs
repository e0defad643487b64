//! Everyone entitled sees every event, in order, once.

use crate::{Deployment, Resume, WAIT};
use anyhow::{Result, ensure};

use super::participant::{Participant, check, group};

pub async fn a_thousand_messages_from_three_users_are_seen_in_order_once(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob", "cem"]).await?;
    let participants: Vec<_> =
        users.iter().enumerate().map(|(i, user)| Participant::start(deployment, user, &conversation, i)).collect();
    for (participant, count) in participants.iter().zip([334, 333, 333]) {
        participant.send(&participant.user.username, count);
    }
    for participant in &participants {
        participant.wait_seen(1000, WAIT * 4).await?;
    }
    check(&participants, 1000)?;
    let (_, history) = participants[0].user.api.history(&conversation, 0, 200).await?;
    ensure!(history["messages"][199]["seq"] == 200, "history by cursor: {}", history["messages"][199]);
    for participant in participants {
        participant.stop().await?;
    }
    Ok(())
}

pub async fn who_joins_later_sees_what_follows_and_who_leaves_sees_nothing_more(deployment: &Deployment) -> Result<()> {
    let (users, conversation) = group(deployment, &["ann", "bob"]).await?;
    let cem = deployment.user("cem").await?;
    let (ann, bob) = (&users[0], &users[1]);
    let at_ann = deployment.connect(ann, 0, Resume::None).await?;
    let at_bob = deployment.connect(bob, 1, Resume::None).await?;
    let at_cem = deployment.connect(&cem, 1, Resume::None).await?;

    at_ann.send_and_ack(&conversation, "m1", "before cem", WAIT).await?; // 1
    let (status, answer) = ann.api.add_member(&conversation, &cem.id).await?; // 2
    ensure!(status < 300, "adding a member: {status} {answer}");
    at_ann.send_and_ack(&conversation, "m2", "cem is here", WAIT).await?; // 3
    at_cem.wait_for(|frame| frame["seq"] == 3 && frame["type"] == "MESSAGE", WAIT).await?;
    let (status, answer) = ann.api.remove_member(&conversation, &bob.id).await?; // 4
    ensure!(status < 300, "removing a member: {status} {answer}");
    at_ann.send_and_ack(&conversation, "m3", "bob is gone", WAIT).await?; // 5
    at_ann.wait_for(|frame| frame["seq"] == 5 && frame["type"] == "MESSAGE", WAIT).await?;
    at_cem.wait_for(|frame| frame["seq"] == 5 && frame["type"] == "MESSAGE", WAIT).await?;
    at_bob.wait_for(|frame| frame["type"] == "USER_LEFT", WAIT).await?;
    // a message of another conversation, which overtakes nothing: what bob was to see of the first has come by then
    let (_, fence) = ann.api.create_conversation("dm", &[&bob.id]).await?;
    let fence = fence["id"].as_str().unwrap_or_default().to_owned();
    at_ann.send_and_ack(&fence, "m4", "fence", WAIT).await?;
    at_bob.wait_for(|frame| frame["type"] == "MESSAGE" && frame["conversationId"] == fence.as_str(), WAIT).await?;

    ensure!(at_ann.seqs_of(&conversation) == [1, 2, 3, 4, 5], "ann: {:?}", at_ann.seqs_of(&conversation));
    ensure!(at_bob.seqs_of(&conversation) == [1, 2, 3, 4], "bob: {:?}", at_bob.seqs_of(&conversation));
    ensure!(at_cem.seqs_of(&conversation) == [2, 3, 4, 5], "cem: {:?}", at_cem.seqs_of(&conversation));
    let (status, refusal) = bob.api.history(&conversation, 0, 10).await?;
    ensure!(status == 403 && refusal["code"] == "not_a_member", "bob reads on: {status} {refusal}");
    Ok(())
}

pub async fn a_new_conversation_reaches_sessions_that_were_there_before_it(deployment: &Deployment) -> Result<()> {
    let (ann, bob) = (deployment.user("ann").await?, deployment.user("bob").await?);
    let at_ann = deployment.connect(&ann, 0, Resume::None).await?;
    let at_bob = deployment.connect(&bob, 1, Resume::None).await?;
    let (status, conversation) = ann.api.create_conversation("dm", &[&bob.id]).await?;
    ensure!(status == 201, "{status} {conversation}");
    let id = conversation["id"].as_str().unwrap_or_default().to_owned();
    for i in 1..=20 {
        at_ann.send_and_ack(&id, &format!("m{i}"), "hello", WAIT).await?;
    }
    for client in [&at_ann, &at_bob] {
        client.wait_for(|frame| frame["type"] == "MESSAGE" && frame["seq"] == 20, WAIT).await?;
        ensure!(client.seqs_of(&id) == (1..=20).collect::<Vec<u64>>(), "{:?}", client.seqs_of(&id));
    }
    Ok(())
}
