//! The server itself.

use crate::dialog;
use crate::jobs::{self, Job, Waited};
use crate::offer::{Offer, filled};
use crate::rounds::{self, Step};
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams,
    ClientCapabilities, CompleteRequestParams, CompleteResult, CompletionInfo, ContentBlock,
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, GetTaskParams, GetTaskResult,
    Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, LoggingLevel, LoggingMessageNotificationParam, PaginatedRequestParams,
    ProgressNotificationParam, PromptListChangedNotification, PromptMessage, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Reference,
    ResourceContents, ResourceUpdatedNotification, ResourceUpdatedNotificationParam, Role,
    ServerCapabilities, ServerInfo, ServerNotification, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, ToolListChangedNotification,
    UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{Peer, RequestContext, SubscriptionContext, SubscriptionSink};
use rmcp::task_manager::TaskManager;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// How long a list may be kept.
const TTL_MS: u64 = 60_000;
const WATCHED: &str = "test://watched-resource";

/// Which eras it speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eras {
    Both,
    Legacy,
    Modern,
}

/// Cheap to clone; one for each session, sharing all.
#[derive(Clone)]
pub(crate) struct Fixture {
    offer: Arc<Offer>,
    eras: Eras,
    tasks: TaskManager,
    waited: Arc<Waited>,
    /// Modern clients that listen.
    listening: Arc<Mutex<HashMap<u64, SubscriptionSink>>>,
    listeners: Arc<AtomicU64>,
    /// Those whose listening was acknowledged and has not begun.
    acknowledged: Arc<AtomicU64>,
    /// Legacy clients that subscribed, by resource.
    subscribed: Arc<Mutex<BTreeMap<String, Vec<Peer<RoleServer>>>>>,
}

type Context = RequestContext<RoleServer>;

impl Fixture {
    pub(crate) fn new(eras: Eras, waited: Waited) -> serde_json::Result<Self> {
        Ok(Self {
            offer: Arc::new(Offer::read()?),
            eras,
            tasks: TaskManager::new(),
            waited: Arc::new(waited),
            listening: Arc::default(),
            listeners: Arc::default(),
            acknowledged: Arc::default(),
            subscribed: Arc::default(),
        })
    }

    /// Whoever listens, or was told that it does.
    async fn sinks(&self) -> Vec<SubscriptionSink> {
        for _ in 0..100 {
            if self.acknowledged.load(Ordering::SeqCst) == 0 {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.listening.lock().await.values().cloned().collect()
    }

    /// Tells modern listeners, and the legacy client that asked.
    async fn changed(&self, what: ServerNotification, context: &Context) {
        let sinks = self.sinks().await;
        for sink in sinks {
            // Who listens to something else is not told.
            drop(sink.send(what.clone()).await);
        }
        if !is_modern(context) {
            drop(context.peer.send_notification(what).await);
        }
    }

    async fn touched(&self) {
        let params = ResourceUpdatedNotificationParam::new(WATCHED);
        let what = ServerNotification::ResourceUpdatedNotification(
            ResourceUpdatedNotification::new(params),
        );
        let sinks = self.sinks().await;
        for sink in sinks {
            drop(sink.send(what.clone()).await);
        }
        let peers = self.subscribed.lock().await.get(WATCHED).cloned().unwrap_or_default();
        for peer in peers {
            drop(peer.send_notification(what.clone()).await);
        }
    }

    async fn plain(&self, request: CallToolRequestParams, context: &Context) -> Plain {
        let arguments = request.arguments.unwrap_or_default();
        let argument = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let text = |text: &str| Ok(CallToolResult::success(vec![ContentBlock::text(text)]));
        let tool = request.name.as_ref();
        if let Some(answer) = self.offer.answers.get(tool) {
            // Made anew: what is read from JSON has no type of the modern era.
            let content = answer.content.clone();
            return Ok(match answer.is_error {
                Some(true) => CallToolResult::error(content),
                _ => CallToolResult::success(content),
            });
        }
        if let Some(schema) = self.offer.schemas.get(tool) {
            let message = Some(argument("message")).filter(|m| !m.is_empty());
            return dialog::elicit(&context.peer, message.unwrap_or("Please tell"), schema).await;
        }
        match tool {
            "test_tool_with_logging" => {
                for line in
                    ["Tool execution started", "Tool processing data", "Tool execution completed"]
                {
                    log(context, LoggingLevel::Info, line).await;
                    sleep(Duration::from_millis(50)).await;
                }
                text("It logged")
            }
            "test_logging_tool" => {
                if let Some(level) = context.meta.log_level() {
                    log(context, level, "this level was asked for").await;
                }
                text("It logged what was asked for")
            }
            "test_tool_with_progress" => {
                for (done, message) in [(0.0, "Starting"), (50.0, "Halfway"), (100.0, "Complete")] {
                    progress(context, done, message).await;
                    sleep(Duration::from_millis(50)).await;
                }
                text("It made progress")
            }
            "test_reconnection" => {
                sleep(Duration::from_millis(100)).await;
                text("It took a moment")
            }
            "test_cancelled" => text(&self.waited.told().to_string()),
            "test_sampling" => Ok(dialog::sample(&context.peer, argument("prompt")).await),
            "test_list_roots" => Ok(dialog::roots(&context.peer).await),
            "test_custom_header" => text(argument("value")),
            "json_schema_2020_12_tool" | "greet" => text(&format!("Hello, {}!", argument("name"))),
            "test_missing_capability" if can(context).sampling.is_none() => {
                let needs = ClientCapabilities::builder().enable_sampling().build();
                Err(ErrorData::missing_required_client_capability(needs))
            }
            "test_missing_capability" => text("The client can sample"),
            "test_trigger_tool_change" => {
                let what = ToolListChangedNotification::default();
                self.changed(ServerNotification::ToolListChangedNotification(what), context).await;
                text("The tools changed")
            }
            "test_trigger_prompt_change" => {
                let what = PromptListChangedNotification::default();
                self.changed(ServerNotification::PromptListChangedNotification(what), context)
                    .await;
                text("The prompts changed")
            }
            "test_touch_watched_resource" => {
                self.touched().await;
                text("The resource was updated")
            }
            other => Err(ErrorData::invalid_params(format!("Unknown tool: {other}"), None)),
        }
    }
}

type Plain = Result<CallToolResult, ErrorData>;

fn can(context: &Context) -> ClientCapabilities {
    context.client_capabilities().unwrap_or_default()
}

fn is_modern(context: &Context) -> bool {
    context.meta.client_capabilities().is_some()
}

async fn log(context: &Context, level: LoggingLevel, line: &str) {
    let params = LoggingMessageNotificationParam::new(level, json!(line)).with_logger("fixture");
    drop(context.peer.notify_logging_message(params).await);
}

async fn progress(context: &Context, done: f64, message: &str) {
    let Some(token) = context.meta.get_progress_token() else { return };
    let params = ProgressNotificationParam::new(token, done).with_total(100.0);
    drop(context.peer.notify_progress(params.with_message(message)).await);
}

impl ServerHandler for Fixture {
    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        let modern = |version: &ProtocolVersion| *version >= ProtocolVersion::V_2026_07_28;
        let all = ProtocolVersion::KNOWN_VERSIONS.iter().cloned();
        match self.eras {
            Eras::Both => Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS),
            Eras::Legacy => all.filter(|v| !modern(v)).collect(),
            Eras::Modern => all.filter(modern).collect(),
        }
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.offer.tools.iter().find(|tool| tool.name == name).cloned()
    }

    fn get_info(&self) -> ServerInfo {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_resources_list_changed()
            .enable_logging()
            .enable_completions()
            .enable_tasks()
            .build();
        ServerInfo::new(capabilities)
            .with_server_info(Implementation::new("narrows-conformance-fixture", "1.0.0"))
            .with_instructions("Everything that the conformance suites ask for.")
    }

    async fn ping(&self, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        asked: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        // The client may act on the acknowledgement before `listen` below begins.
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        Some(asked.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let key = self.listeners.fetch_add(1, Ordering::Relaxed);
        self.listening.lock().await.insert(key, context.sink().clone());
        self.acknowledged.fetch_sub(1, Ordering::SeqCst);
        context.cancelled().await;
        self.listening.lock().await.remove(&key);
        Ok(())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.offer.tools.clone();
        let list = ListToolsResult { tools, ..ListToolsResult::default() };
        Ok(list.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let tool = request.name.to_string();
        let dialog = self.offer.rounds.get(&tool);
        let responses = request.input_responses.as_ref();
        let is_job = jobs::is_job(&tool);
        let asks_first = !is_job || tool == "test_tool_with_task";
        let follows = context.client_capabilities().is_some_and(|c| c.supports_tasks());
        if let Some(dialog) = dialog.filter(|_| asks_first && (!is_job || follows)) {
            let state = request.request_state.as_deref();
            match rounds::step(dialog, &can(&context), responses, state)? {
                Step::Ask(ask) => return Ok(ask.into()),
                Step::Done(text) if !is_job => {
                    return Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into());
                }
                Step::Done(_) => {}
            }
        }
        if is_job {
            let arguments = request.arguments.unwrap_or_default();
            let job = Job::new(&tool, arguments, dialog.cloned(), request.input_responses);
            return job.start(&self.tasks, follows, &self.waited, &context).await;
        }
        self.plain(request, &context).await.map(Into::into)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: Context,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&request.task_id)?))
    }

    async fn update_task(&self, request: UpdateTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(&self, request: CancelTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resources = self.offer.resources.clone();
        let list = ListResourcesResult { resources, ..ListResourcesResult::default() };
        Ok(list.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let resource_templates = self.offer.templates.clone();
        let list = ListResourceTemplatesResult {
            resource_templates,
            ..ListResourceTemplatesResult::default()
        };
        Ok(list.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let contents = match (self.offer.contents.get(uri), id) {
            (Some(contents), _) => contents.clone(),
            (None, Some(id)) => {
                let data =
                    json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                ResourceContents::text(data.to_string(), uri).with_mime_type("application/json")
            }
            (None, None) => {
                let data = Some(json!({"uri": uri}));
                return Err(ErrorData::resource_not_found("Resource not found", data));
            }
        };
        let read = ReadResourceResult::new(vec![contents]);
        Ok(read.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public).into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        let mut subscribed = self.subscribed.lock().await;
        subscribed.entry(request.uri.clone()).or_default().push(context.peer);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: Context,
    ) -> Result<(), ErrorData> {
        self.subscribed.lock().await.remove(request.uri.as_str());
        Ok(())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompts = self.offer.prompts.clone();
        let list = ListPromptsResult { prompts, ..ListPromptsResult::default() };
        Ok(list.with_ttl_ms(TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let name = request.name.as_str();
        if let Some(dialog) = self.offer.rounds.get(name) {
            let responses = request.input_responses.as_ref();
            return match rounds::step(dialog, &can(&context), responses, None)? {
                Step::Ask(ask) => Ok(ask.into()),
                Step::Done(text) => {
                    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).into())
                }
            };
        }
        let unknown = || ErrorData::invalid_params(format!("Unknown prompt: {name}"), None);
        let messages = self.offer.messages.get(name).ok_or_else(unknown)?;
        let wrong = |e: serde_json::Error| ErrorData::internal_error(e.to_string(), None);
        let given = request.arguments.unwrap_or_default().into_iter();
        let given =
            given.map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()));
        let text = filled(&serde_json::to_string(messages).map_err(wrong)?, given);
        let read: GetPromptResult = serde_json::from_str(&text).map_err(wrong)?;
        let description = read.description.unwrap_or_default();
        Ok(GetPromptResult::new(read.messages).with_description(description).into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: Context,
    ) -> Result<CompleteResult, ErrorData> {
        let words: &[&str] = match &request.r#ref {
            Reference::Resource(_) => &["1", "2", "3"],
            _ => &["paris", "park", "party"],
        };
        let typed = request.argument.value.as_str();
        let fits = words.iter().filter(|word| word.starts_with(typed)).map(|w| (*w).to_owned());
        let found = CompletionInfo::new(fits.collect());
        Ok(CompleteResult::new(found.map_err(|e| ErrorData::internal_error(e, None))?))
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }
}
