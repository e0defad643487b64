//! `relay_leases`: which process publishes which outbox shards, by the database's clock.

use std::time::Duration;

use super::{
    Result, Store,
    sql::{integer, query, repeat},
};

impl Store {
    /// Renews what `holder` has, takes what is free or expired, and answers the shards it holds now.
    pub async fn hold_leases(&self, holder: &str, ttl: Duration) -> Result<Vec<u32>> {
        let dialect = self.0.context.dialect;
        let shards = self.outbox_shards();
        let held = self.leases_of(holder).await?;
        let now = dialect.now_ms();
        if held.len() < shards as usize {
            // Rows are made once; after that this statement changes nothing.
            let mut making = query(format!(
                "{} relay_leases (shard, holder, held_until) VALUES {}",
                dialect.insert_ignore(),
                repeat("(?,'',0)", shards as usize, ",")
            ));
            for shard in 0..shards {
                making = making.bind(i64::from(shard));
            }
            making.execute(&self.0.write).await?;
        }
        query(format!(
            "UPDATE relay_leases SET holder = ?, held_until = {now} + ? \
             WHERE shard < ? AND (holder = ? OR held_until < {now})"
        ))
        .bind(holder)
        .bind(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
        .bind(i64::from(shards))
        .bind(holder)
        .execute(&self.0.write)
        .await?;
        self.leases_of(holder).await
    }

    async fn leases_of(&self, holder: &str) -> Result<Vec<u32>> {
        let now = self.0.context.dialect.now_ms();
        let asking = query(format!("SELECT shard FROM relay_leases WHERE holder = ? AND held_until > {now}"));
        // The writer's connection: a read replica's view of a lease would be an old one.
        let rows = asking.bind(holder).fetch_all(&self.0.write).await?;
        Ok(rows.iter().filter_map(|row| u32::try_from(integer(row, "shard").ok()?).ok()).collect())
    }

    /// Gives everything up, so that another process need not wait for the expiry.
    pub async fn release_leases(&self, holder: &str) -> Result<()> {
        let releasing = sqlx::query("UPDATE relay_leases SET held_until = 0 WHERE holder = ?");
        releasing.bind(holder).execute(&self.0.write).await?;
        Ok(())
    }
}
