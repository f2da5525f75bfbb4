//! Operations of sign-up, sign-in and the session.

use alloc::boxed::Box;
use core::future::{Future, IntoFuture, poll_fn};

use picobase::{
    Client, Error, Json,
    action::{Action, CallOptions},
    auth::{Auth, FinishOAuth2, Session},
    runtime::BoxFuture,
};

use super::{Asked, auth_of, op, unknown};
use crate::{
    clients,
    executor::Work,
    frame::{Args, Frame},
};

pub(super) fn start(op: u32, client: &Client, mut asked: Asked) {
    if !matches!(op, op::SIGN_IN | op::REFRESH) {
        return session(op, client, asked);
    }
    let auth = auth_of(client, asked.args.some());
    if op == op::REFRESH {
        return asked.spawn(Work::Session(Box::pin(async move { auth.refresh().await })));
    }
    let (identity, password) = (asked.args.text(), asked.args.text());
    sign_in(asked, auth.sign_in(&identity, &password));
}

/// What few pages need at once: all other ways to sign up and in.
pub(super) fn more(op: u32, client: &Client, asked: Asked) {
    match op {
        op::CONFIRM_VERIFICATION..=op::CONFIRM_EMAIL_CHANGE => confirm(op, client, asked),
        _ => of_collection(op, client, asked),
    }
}

/// What is about the session, whatever its collection.
fn session(op: u32, client: &Client, mut asked: Asked) {
    let auth = client.auth();
    if op == op::READY {
        return asked.frame(Box::pin(async move {
            auth.ready().await?;
            let mut out = Frame::new();
            clients::maybe_session(&mut out, auth.session().as_ref());
            Ok(out)
        }));
    }
    let adopted = Session::new(asked.args.text(), asked.args.json().unwrap_or_else(Json::null));
    asked.nothing(Box::pin(async move {
        match op {
            op::SIGN_OUT => auth.sign_out().await,
            op::SET_SESSION => auth.set_session(adopted).await,
            op::SYNC_SESSION => auth.sync_from_store().await,
            _ => Err(unknown()),
        }
    }));
}

fn confirm(op: u32, client: &Client, mut asked: Asked) {
    let auth = auth_of(client, asked.args.some());
    let (token, password, options) = (asked.args.text(), asked.args.text(), asked.options());
    let call = match op {
        op::CONFIRM_VERIFICATION => auth.confirm_verification(&token),
        op::CONFIRM_RESET => auth.confirm_password_reset(&token, &password),
        _ => auth.confirm_email_change(&token, &password),
    };
    asked.nothing(call.options(options).into_future());
}

fn of_collection(op: u32, client: &Client, mut asked: Asked) {
    let auth = auth_of(client, asked.args.some());
    match op {
        op::SIGN_IN_OTP => {
            let (otp, password) = (asked.args.text(), asked.args.text());
            sign_in(asked, auth.sign_in_with_otp(&otp, &password));
        }
        op::SIGN_UP => sign_up(asked, &auth),
        op::BEGIN_O_AUTH2 => begin(asked, auth),
        op::FINISH_O_AUTH2 => {
            if let Some(saved) = asked.args.some()
                && let Err(error) = auth.resume_oauth2(&saved)
            {
                return asked.answer(Err(error));
            }
            let back = asked.args.text();
            let begun = match asked.args.some() {
                Some(state) => auth.finish_oauth2(&back, &state),
                None => auth.finish_oauth2_url(&back),
            };
            finish(asked, begun);
        }
        op::SETTLED => {
            let mut settled = Box::pin(auth.settled());
            asked.nothing(Box::pin(poll_fn(move |cx| settled.as_mut().poll(cx).map(Ok))));
        }
        op::EXTERNAL_AUTHS => {
            let (list, options) = (auth.external_auths(&asked.args.text()), asked.options());
            asked.json(Box::pin(async move { Ok(Json::array(list?.options(options).await?)) }));
        }
        op::UNLINK_EXTERNAL_AUTH => {
            let (id, provider) = (asked.args.text(), asked.args.text());
            asked.nothing(Box::pin(async move { auth.unlink_external_auth(&id, &provider).await }));
        }
        _ => asked.answer(Err(unknown())),
    }
}

fn sign_in(mut asked: Asked, call: Action<Session>) {
    let call = if let Some(mfa) = asked.args.some() { call.mfa_id(&mfa) } else { call };
    let call = if let Some(field) = asked.args.some() { call.identity_field(&field) } else { call };
    let options = asked.options();
    asked.spawn(Work::Session(call.options(options).into_future()));
}

fn sign_up(mut asked: Asked, auth: &Auth) {
    let (email, password) = (asked.args.text(), asked.args.text());
    let sign_up = auth.sign_up(&email, &password);
    let sign_up = if let Some(data) = asked.args.json() { sign_up.data(&data) } else { sign_up };
    asked.frame(Box::pin(async move {
        let mut out = Frame::new();
        clients::maybe_session(&mut out, sign_up.await?.as_ref());
        Ok(out)
    }));
}

fn begin(mut asked: Asked, auth: Auth) {
    let (provider, redirect) = (asked.args.text(), asked.args.text());
    asked.frame(Box::pin(async move {
        let start = auth.begin_oauth2(&provider, &redirect).await?;
        let mut out = Frame::new();
        out.list(3).text(&start.url).text(&start.state).text(&start.saved);
        Ok(out)
    }));
}

fn finish(mut asked: Asked, finish: FinishOAuth2) {
    let finish = if let Some(data) = asked.args.json() { finish.create_data(&data) } else { finish };
    let finish = if let Some(mfa) = asked.args.some() { finish.mfa_id(&mfa) } else { finish };
    let options = asked.options();
    asked.spawn(Work::Session(finish.options(options).into_future()));
}

/// All in one: the user goes to the provider and comes back through an event stream.
pub(super) fn all_in_one(
    client: &Client,
    mut args: Args,
    options: CallOptions,
    open: impl FnOnce(&str) + 'static,
) -> SignIn {
    let auth = auth_of(client, args.some());
    let sign_in = auth.sign_in_with_oauth2(&args.text(), open).options(options);
    let sign_in = sign_in.scopes(args.texts());
    let sign_in = if let Some(data) = args.json() { sign_in.create_data(&data) } else { sign_in };
    let sign_in = if let Some(mfa) = args.some() { sign_in.mfa_id(&mfa) } else { sign_in };
    let sign_in = if let Some(time) = args.time() { sign_in.timeout(time) } else { sign_in };
    sign_in.into_future()
}

type SignIn = BoxFuture<'static, Result<Session, Error>>;
