//! nginx with nchan, as Debian packages both: one worker, messages in memory.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{
    Running,
    process::{Process, find, folder, free_address},
};
use crate::gateway::driver::{Dialect, Endpoint};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

pub(super) fn missing() -> Option<&'static str> {
    let there = find("nginx").is_some() && Path::new(MODULE).is_file();
    (!there).then_some("Debian's nginx and libnginx-mod-nchan are not installed")
}

pub(super) fn start() -> Result<Running> {
    let address = free_address()?;
    let folder = folder("nchan")?;
    let place = folder.path().to_str().context("a path that is not text")?;
    let configuration = format!(
        "load_module {MODULE};
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {place}/nginx.pid;
error_log {place}/error.log warn;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    keepalive_requests 1000000000;
    nchan_max_reserved_memory 1024M;
    server {{
        listen {address} backlog=4096;
        location ~ ^/sub/(.+)$ {{
            nchan_subscriber websocket;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
        }}
        location ~ ^/pub/(.+)$ {{
            nchan_publisher http;
            nchan_channel_id $1;
            client_max_body_size 1m;
            client_body_buffer_size 128k;
        }}
    }}
}}
"
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, configuration).context("failed to write nginx's configuration")?;
    let nginx = find("nginx").context("nginx is not installed")?;
    let command = [nginx.to_str(), Some("-e"), Some("stderr"), Some("-c"), file.to_str()];
    let command = command.into_iter().collect::<Option<Vec<&str>>>().context("a path that is not text")?;
    let mut process = Process::start(&command, &[], folder)?;
    process.listens(address)?;
    Ok(Running::new(Endpoint { address, dialect: Dialect::Rooms }, process))
}
